"""TIFF pages: 8-bit ones through Pillow's libtiff, deeper or wider ones through tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError, MediaError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import check_file, check_frames, check_memory, check_pixels
from vlmtool_core.media.pictures.images import (
    ORIENTATION,
    decode_rgb,
    decoder_name,
    decoding,
    open_pillow,
    unsupported,
)
from vlmtool_core.media.pixels import orient, rgb, shrink, to_8bit
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame, Json, MediaKind


class TiffSource(SourceBase):
    """A TIFF, BigTIFF or OME-TIFF; each page is a frame.

    Raises
    ------
    MediaError : the directory cannot be read or asks for too much
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        check_file(path)
        with decoding(path):
            self._file = tifffile.TiffFile(path)
        try:
            with decoding(path):
                self._info = self._describe(path)
        except MediaError:
            self._file.close()
            raise

    def _describe(self, path: Path) -> MediaInfo:
        count = len(self._file.pages)
        if count == 0:
            raise DamagedMediaError("the file has no page", path=path)
        check_frames(path, count)
        page: Any = self._file.pages[0]
        width, height = _oriented_size(page)
        check_pixels(path, width, height)
        facts: dict[str, Json] = {
            "format": "TIFF",
            "bits": int(page.bitspersample),
            "channels": int(page.samplesperpixel),
            "compression": page.compression.name,
        }
        notes = self._size_notes(width, height, count)
        return MediaInfo(path, MediaKind.IMAGE, width, height, count, warnings=notes, facts=facts)

    def _size_notes(self, width: int, height: int, count: int) -> tuple[str, ...]:
        if count > 1 and _oriented_size(self._file.pages[count - 1]) != (width, height):
            return ("the pages differ in size",)
        return ()

    def frame(
        self,
        index: int = 0,
        *,
        max_side: int | None = None,
        window: Window | None = None,  # noqa: ARG002
    ) -> Frame:
        """See `MediaSource.frame`; `window` does not apply."""
        self._check_index(index)
        with decoding(self.path):
            page: Any = self._file.pages[index]
            size = _oriented_size(page)
            check_pixels(self.path, *size)
            check_memory(self.path, int(page.nbytes) + size[0] * size[1] * 8)
            provenance: dict[str, Json] = {"format": "TIFF"}
            pixels = self._decode(page, index, max_side, provenance)
        shown = (int(pixels.shape[1]), int(pixels.shape[0]))
        if shown != size:
            provenance["resized"] = list(shown)
        return Frame(pixels, index, None, provenance, size if shown != size else None)

    def _decode(
        self, page: Any, index: int, max_side: int | None, provenance: dict[str, Json]
    ) -> np.ndarray:
        if page.bitspersample > 8 or page.dtype is None or page.dtype.kind != "u":
            try:
                return _decode_deep(page, max_side, provenance)
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
        return self._decode_by_pillow(page, index, max_side, provenance)

    def _decode_by_pillow(
        self, page: Any, index: int, max_side: int | None, provenance: dict[str, Json]
    ) -> np.ndarray:
        from PIL import UnidentifiedImageError

        try:
            with open_pillow(self.path) as image:
                image.seek(index)
                provenance["decoder"] = decoder_name()
                # Pillow has applied a TIFF's own orientation when it is loaded.
                return decode_rgb(image, max_side, provenance)
        except (UnidentifiedImageError, DamagedMediaError) as error:
            deep = page.bitspersample > 8 or page.compression == 1
            if not deep:
                raise
            what = f"TIFF of {page.bitspersample} bits coded as {page.compression.name}"
            raise unsupported(self.path, f"{what} cannot be decoded") from error

    def close(self) -> None:
        self._file.close()


def _page_orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    value = int(tag.value) if tag is not None else 1
    return value if 1 <= value <= 8 else 1


def _oriented_size(page: Any) -> tuple[int, int]:
    page = page.aspage()
    width, height = int(page.imagewidth), int(page.imagelength)
    return (height, width) if _page_orientation(page) in (5, 6, 7, 8) else (width, height)


def _decode_deep(page: Any, max_side: int | None, provenance: dict[str, Json]) -> np.ndarray:
    import tifffile

    page = page.aspage()
    values = page.asarray()
    if page.axes.startswith("S"):  # planes one after another
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, -1)
    if values.shape[2] not in (1, 2, 3, 4):
        provenance["channels"] = "first"
        values = values[:, :, :1]
    provenance["decoder"] = f"tifffile {tifffile.__version__}"
    pixels = _scale(values, provenance)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        provenance["inverted"] = True
        pixels = 255 - pixels
    orientation = _page_orientation(page)
    if orientation != 1:
        provenance["orientation"] = orientation
    return np.ascontiguousarray(shrink(rgb(orient(pixels, orientation)), max_side))


def _scale(values: np.ndarray, provenance: dict[str, Json]) -> np.ndarray:
    """Colour by percentiles over all channels together; an alpha channel by its full range."""
    alpha = None
    if values.shape[2] in (2, 4):
        values, alpha = values[:, :, :-1], values[:, :, -1:]
    pixels, rule = to_8bit(values)
    if rule:
        provenance["scaling"] = dict(rule)
    if alpha is None:
        return pixels
    full = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else 1.0
    eight = np.clip(np.rint(alpha.astype(np.float32) * (255 / full)), 0, 255).astype(np.uint8)
    return np.concatenate([pixels, eight], axis=2)
