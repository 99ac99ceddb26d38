"""PDF pages as frames, drawn by PDFium at a chosen resolution."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import (
    check_file,
    check_frames,
    check_memory,
    check_pixels,
    scaled_size,
)
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame, Json, MediaKind
from vlmtool_core.settings import load_settings

if TYPE_CHECKING:
    import numpy as np

POINTS_PER_INCH = 72
# PDFium is not thread-safe: one call at a time in the whole process.
PDFIUM = threading.RLock()


class PdfSource(SourceBase):
    """A PDF; each page is a frame, as large as the setting `pdf_dpi` makes it.

    data : the bytes of the PDF, where `path` holds more than that

    Raises
    ------
    UnsupportedMediaError : it needs a password
    MediaError : it is damaged, has no page, or asks for too much
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        import pypdfium2

        check_file(path)
        self._dpi = load_settings().pdf_dpi
        with PDFIUM, decoding(path):
            try:
                self._document = pypdfium2.PdfDocument(path if data is None else data)
            except pypdfium2.PdfiumError as error:
                raise _explained(error, path) from error
        try:
            with PDFIUM, decoding(path):
                self._info = self._describe(path)
        except Exception:
            self.close()
            raise

    def _describe(self, path: Path) -> MediaInfo:
        count = len(self._document)
        if count == 0:
            raise DamagedMediaError("the file has no page", path=path)
        check_frames(path, count)
        sizes = [self._size(page) for page in range(min(count, 2))]
        check_pixels(path, *sizes[0])
        facts: dict[str, Json] = {"format": "PDF", "dpi": self._dpi}
        notes = ("the pages differ in size",) if len(set(sizes)) > 1 else ()
        return MediaInfo(path, MediaKind.IMAGE, *sizes[0], count, warnings=notes, facts=facts)

    def _size(self, index: int) -> tuple[int, int]:
        """(width, height) of a page in pixels at the chosen resolution, its rotation applied."""
        width, height = self._document.get_page_size(index)
        scale = self._dpi / POINTS_PER_INCH
        return max(1, round(width * scale)), max(1, round(height * scale))

    def frame(
        self,
        index: int = 0,
        *,
        max_side: int | None = None,
        window: Window | None = None,  # noqa: ARG002
    ) -> Frame:
        """See `MediaSource.frame`; `window` does not apply."""
        import pypdfium2

        self._check_index(index)
        with PDFIUM, decoding(self.path):
            size = self._size(index)
            check_pixels(self.path, *size)
            shown = scaled_size(*size, max_side)
            check_memory(self.path, shown[0] * shown[1] * 8)
            pixels = self._draw(index, shown, size)
        provenance: dict[str, Json] = {
            "decoder": f"pypdfium2 {pypdfium2.PYPDFIUM_INFO}",
            "format": "PDF",
            "dpi": self._dpi,
        }
        if shown != size:
            provenance["resized"] = list(shown)
        return Frame(pixels, index, None, provenance, size if shown != size else None)

    def _draw(self, index: int, shown: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        import numpy as np

        page: Any = self._document[index]
        try:
            scale = self._dpi / POINTS_PER_INCH * max(shown) / max(size)
            drawn = page.render(scale=scale, rev_byteorder=True).to_numpy()
        finally:
            page.close()
        # PDFium rounds a page's size up; a line of paper more or less is no loss.
        pixels = np.full((shown[1], shown[0], 3), 255, np.uint8)
        height, width = (min(a, b) for a, b in zip(drawn.shape[:2], pixels.shape[:2], strict=True))
        pixels[:height, :width] = drawn[:height, :width, :3]
        return pixels

    def close(self) -> None:
        with PDFIUM:
            self._document.close()


def _explained(error: Exception, path: Path) -> Exception:
    if "password" in str(error).lower():
        return UnsupportedMediaError(
            "it is locked with a password", path=path, remedy="Save a copy without the password."
        )
    return DamagedMediaError(f"cannot be opened as PDF: {error}", path=path)
