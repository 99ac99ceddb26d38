"""TIFF, BigTIFF and OME-TIFF through tifffile; each page is a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError, MediaError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import check_file, check_frames, check_memory, check_pixels
from vlmtool_core.media.pictures.colour import profile_notes
from vlmtool_core.media.pictures.deep import GreyPage, GreyPages
from vlmtool_core.media.pictures.images import (
    decoding,
)
from vlmtool_core.media.pictures.tiff_pages import (
    JPEGS,
    grey_page,
    is_deep_grey,
    orientation_of_page,
    page_rgb,
    page_values,
    photometric_of,
    profile_of,
    refuse_what_cannot_be,
)
from vlmtool_core.media.pixels import orient, rgb, shrink
from vlmtool_core.records import Frame, Json, MediaKind

_PILLOW_MODES = {"SEPARATED": "CMYK", "CIELAB": "LAB", "ICCLAB": "LAB"}


class TiffSource(GreyPages):
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
        width, height = oriented_size(page)
        check_pixels(path, width, height)
        notes = self._size_notes(width, height, count)
        mode = _PILLOW_MODES.get(photometric_of(page), "RGB" if page.samplesperpixel > 2 else "L")
        notes += profile_notes(profile_of(page), mode)
        return MediaInfo(
            path,
            MediaKind.IMAGE,
            width,
            height,
            count,
            warnings=notes,
            facts=page_facts(page),
            has_values=is_deep_grey(page),
        )

    def _size_notes(self, width: int, height: int, count: int) -> tuple[str, ...]:
        if count > 1 and oriented_size(self._file.pages[count - 1]) != (width, height):
            return ("the pages differ in size",)
        return ()

    def _checked_page(self, index: int) -> Any:
        page = self._file.pages[index].aspage()
        size = oriented_size(page)
        check_pixels(self.path, *size)
        check_memory(self.path, int(page.nbytes) + size[0] * size[1] * 8)
        return page

    def _grey_page(self, index: int) -> GreyPage | None:
        with decoding(self.path):
            page = self._checked_page(index)
            return grey_page(page, page_values(page)) if is_deep_grey(page) else None

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """See `MediaSource.frame`; `window` applies to grey pages of more than 8 bits."""
        import tifffile

        self._check_index(index)
        provenance: dict[str, Json] = {"format": "TIFF"}
        with decoding(self.path):
            page = self._checked_page(index)
            size = oriented_size(page)
            provenance["decoder"] = f"tifffile {tifffile.__version__}"
            orientation = orientation_of_page(page)
            if orientation != 1:
                provenance["orientation"] = orientation
            if is_deep_grey(page):
                pixels = rgb(self._shown_grey(self._values_page(index), window, provenance))
            elif _is_for_libtiff(page):
                refuse_what_cannot_be(page)
                pixels = orient(self._by_libtiff(index, orientation, provenance), orientation)
            else:
                pixels = orient(page_rgb(page, page_values(page), provenance), orientation)
            shown = np.ascontiguousarray(shrink(pixels, max_side))
        if (shown.shape[1], shown.shape[0]) == size:
            return Frame(shown, index, None, provenance)
        provenance["resized"] = [int(shown.shape[1]), int(shown.shape[0])]
        return Frame(shown, index, None, provenance, size)

    def _by_libtiff(self, index: int, orientation: int, provenance: dict[str, Json]) -> np.ndarray:
        """uint8 RGB (h, w, 3), not yet oriented, of colours that tifffile does not know."""
        import imagecodecs

        provenance["decoder"] = f"imagecodecs {imagecodecs.__version__} (libtiff)"
        whole = imagecodecs.tiff_decode(self.path.read_bytes(), index=index, asrgb=True)
        # libtiff flips, but does not transpose: taken back, so that all is done in one place.
        flipped = orientation if orientation <= 4 else orientation - 4
        return orient(whole[:, :, :3], flipped)

    def close(self) -> None:
        self._file.close()


def _is_for_libtiff(page: Any) -> bool:
    """Colours whose chroma is stored coarser, outside JPEG: libtiff is the one that knows them."""
    return photometric_of(page) == "YCBCR" and page.compression not in JPEGS


def page_facts(page: Any) -> dict[str, Json]:
    """What is worth knowing of how a page is stored."""
    return {
        "format": "TIFF",
        "bits": int(page.bitspersample),
        "channels": int(page.samplesperpixel),
        "compression": getattr(page.compression, "name", str(page.compression)),
        "photometric": photometric_of(page),
    }


def oriented_size(page: Any) -> tuple[int, int]:
    """(width, height) after the page's orientation."""
    page = page.aspage()
    width, height = int(page.imagewidth), int(page.imagelength)
    return (height, width) if orientation_of_page(page) in (5, 6, 7, 8) else (width, height)
