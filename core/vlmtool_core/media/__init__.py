"""Open pictures, DICOM and video behind one interface, and find them in folders."""

from vlmtool_core.media.base import Discovered, MediaInfo, MediaSource, Window
from vlmtool_core.media.opening import open_media
from vlmtool_core.media.scanning import scan

__all__ = ["Discovered", "MediaInfo", "MediaSource", "Window", "open_media", "scan"]
