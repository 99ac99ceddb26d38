"""Says which pictures are read in parts, and opens them so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlmtool_core.media.base import MediaInfo
from vlmtool_core.media.budget import check_file, check_frames
from vlmtool_core.media.pictures.coded_headers import read_coded
from vlmtool_core.media.pictures.colour import profile_notes
from vlmtool_core.media.pictures.images import decoding, open_pillow, orientation_of
from vlmtool_core.media.pictures.tiff import oriented_size, page_facts
from vlmtool_core.media.pictures.tiff_pages import orientation_of_page, photometric_of, profile_of
from vlmtool_core.media.tiles.base import HUGE_PIXELS
from vlmtool_core.media.tiles.source import TiledSource
from vlmtool_core.records import Json, MediaKind

_HEAD_BYTES = 1 << 20
_BASELINE = (0xC0, 0xC1)
# A pyramid of fewer pixels is as quickly decoded whole.
_PYRAMID_PIXELS = 16_000_000


def tiled_still(path: Path) -> TiledSource | None:
    """A huge PNG or JPEG that can be read in rows; None for any other picture.

    Raises
    ------
    MediaError
    """
    with decoding(path), path.open("rb") as file:
        header = read_coded(file.read(_HEAD_BYTES))
    if header is None or header.width * header.height <= HUGE_PIXELS:
        return None
    check_file(path)
    if header.format == "JPEG" and not (
        header.process in _BASELINE and header.bits == 8 and header.channels in (1, 3)
    ):
        return None
    if header.format not in ("JPEG", "PNG"):
        return None
    with open_pillow(path) as image:
        orientation, notes = orientation_of(image)
        notes = (*notes, *profile_notes(image.info.get("icc_profile"), image.mode))
        texts, mode = dict(image.info), image.mode
    size = (header.width, header.height)
    width, height = size[::-1] if orientation in (5, 6, 7, 8) else size
    facts: dict[str, Json] = {"format": header.format, "mode": mode}
    info = MediaInfo(path, MediaKind.IMAGE, width, height, warnings=notes, facts=facts)
    if header.format == "PNG":
        from vlmtool_core.media.tiles.png_stream import PngRows

        try:
            return TiledSource(info, PngRows(path, texts), orientation)
        except ValueError:  # interlaced
            return None
    from vlmtool_core.media.tiles.jpeg_stream import JpegRows

    rows = JpegRows(path, *size, header.channels, texts)
    return TiledSource(info, rows, orientation)


def tiled_tiff(path: Path) -> TiledSource | None:
    """A TIFF that is a pyramid or one huge page; None when its pages are decoded whole.

    Raises
    ------
    MediaError
    """
    import tifffile

    from vlmtool_core.media.tiles.tiff import TiffLevels

    check_file(path)
    with decoding(path):
        file = tifffile.TiffFile(path)
    source: TiledSource | None = None
    try:
        with decoding(path):
            pages = _levels_of(file)
            if pages:
                source = TiledSource(
                    _describe(path, file, pages),
                    TiffLevels(path, file, pages),
                    orientation_of_page(pages[0]),
                )
    finally:
        if source is None:
            file.close()
    return source


def _levels_of(file: Any) -> list[Any]:
    """The pages of the first picture at falling sizes; empty when it is to be decoded whole."""
    from vlmtool_core.media.tiles.tiff import can_be_read_in_parts

    if not len(file.pages):
        return []
    first = file.pages[0].aspage()
    pixels = int(first.imagewidth) * int(first.imagelength)
    if pixels <= _PYRAMID_PIXELS or not can_be_read_in_parts(first):
        return []
    pages = [first]
    for level in file.series[0].levels[1:]:
        page = level.pages[0].aspage()
        smaller = 0 < page.imagewidth < pages[-1].imagewidth
        alike = (page.dtype, page.samplesperpixel, photometric_of(page)) == (
            first.dtype,
            first.samplesperpixel,
            photometric_of(first),
        )
        if smaller and alike and _same_shape(first, page) and can_be_read_in_parts(page):
            pages.append(page)
    if len(pages) > 1 or (pixels > HUGE_PIXELS and len(file.pages) == 1):
        return pages
    return []


def _same_shape(first: Any, page: Any) -> bool:
    """Whether a page may be the first one, smaller: rounding aside, as wide for its height."""
    expected = first.imagelength * page.imagewidth / first.imagewidth
    return bool(abs(expected - page.imagelength) <= 2 + 0.01 * page.imagelength)


def _describe(path: Path, file: Any, pages: list[Any]) -> MediaInfo:
    width, height = oriented_size(pages[0])
    check_frames(path, len(file.pages))
    facts = {**page_facts(pages[0]), "levels_in_file": len(pages)}
    notes = profile_notes(profile_of(pages[0]), "RGB" if pages[0].samplesperpixel > 2 else "L")
    return MediaInfo(path, MediaKind.IMAGE, width, height, warnings=notes, facts=facts)
