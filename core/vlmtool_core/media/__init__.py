"""Open pictures, DICOM and video behind one interface, and find them in folders."""

from vlmtool_core.media.base import (
    Badge,
    Discovered,
    GreySource,
    MediaInfo,
    MediaSource,
    PixelSpacing,
    PlaneGeometry,
    Window,
    grey,
)
from vlmtool_core.media.opening import open_media
from vlmtool_core.media.scanning import scan

__all__ = [
    "Badge",
    "Discovered",
    "GreySource",
    "MediaInfo",
    "MediaSource",
    "PixelSpacing",
    "PlaneGeometry",
    "Window",
    "grey",
    "open_media",
    "scan",
]
