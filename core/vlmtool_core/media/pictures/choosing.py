"""Chooses how a still picture is read: by its depth and its size."""

from __future__ import annotations

from pathlib import Path

from vlmtool_core.media.base import MediaSource


def open_picture(path: Path) -> MediaSource:
    """Open what is not a TIFF.

    Raises
    ------
    MediaError
    """
    from vlmtool_core.media.pictures.coded import CodedSource, coded_header
    from vlmtool_core.media.pictures.images import ImageSource
    from vlmtool_core.media.tiles.opening import tiled_still
    from vlmtool_core.media.tiles.openslide import open_slide

    if path.suffix.lower() == ".mrxs":  # a small JPEG with the slide in a folder beside it
        slide = open_slide(path)
        if slide is not None:
            return slide
    huge = tiled_still(path)
    if huge is not None:
        return huge
    header = coded_header(path)
    if header is not None:
        return CodedSource(path, header)
    return ImageSource(path)


def open_tiff(path: Path) -> MediaSource:
    """Open a TIFF.

    Raises
    ------
    MediaError
    """
    from vlmtool_core.media.pictures.tiff import TiffSource
    from vlmtool_core.media.tiles.opening import tiled_tiff
    from vlmtool_core.media.tiles.openslide import open_slide

    return open_slide(path) or tiled_tiff(path) or TiffSource(path)
