"""A JPEG of any size read in bands of rows: wrapped as a PDF, whose renderer decodes by rows.

Pillow, OpenCV and imagecodecs decode a JPEG whole; PDFium keeps its place between two renderings
of the same image and needs memory for the compressed file and the rows asked for only.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.media.pictures.coded import with_colour
from vlmtool_core.media.pictures.images import decoding, open_pillow
from vlmtool_core.media.pictures.pdf import PDFIUM

_SPACES = {1: b"/DeviceGray", 3: b"/DeviceRGB"}


class JpegRows:
    """Rows of a baseline JPEG of one or three components; going back begins again at the top.

    texts : what Pillow read of the file (profile)
    """

    random = False

    def __init__(
        self, path: Path, width: int, height: int, channels: int, texts: dict[Any, Any]
    ) -> None:
        self._path = path
        self.width, self.height = width, height
        self._channels = channels
        self._texts = texts
        self._parts = _Joined(path, width, height, _SPACES[channels])
        self._opened: tuple[Any, Any] | None = None

    def _page(self) -> Any:
        """The page that is the picture. Opening it reads the whole file: not before the first
        view."""
        import pypdfium2

        if self._opened is None:
            document = pypdfium2.PdfDocument(self._parts)
            self._opened = document, document[0]
        return self._opened[1]

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.height),)

    @property
    def decoder(self) -> str:
        import pypdfium2

        return f"pypdfium2 {pypdfium2.PYPDFIUM_INFO}"

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `TileReader.read`; level is 0."""
        import pypdfium2
        from pypdfium2 import raw

        assert level == 0
        with PDFIUM, decoding(self._path):
            bitmap = pypdfium2.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGR)
            matrix = raw.FS_MATRIX(1, 0, 0, 1, -x, -y)
            clip = raw.FS_RECTF(0, 0, width, height)
            flags = raw.FPDF_REVERSE_BYTE_ORDER
            raw.FPDF_RenderPageBitmapWithMatrix(bitmap, self._page(), matrix, clip, flags)
            pixels = bitmap.to_numpy()[:, :width, :3].copy()
            bitmap.close()
            return with_colour(pixels[:, :, :1] if self._channels == 1 else pixels, self._texts, {})

    def quick(self, side: int) -> np.ndarray | None:
        """Decoded to an eighth at most, which leaves out nearly all of the work."""
        with open_pillow(self._path) as image, decoding(self._path):
            share = max(1, max(image.size) // side)
            image.draft(None, (image.width // share, image.height // share))
            return with_colour(np.asarray(image), dict(image.info), {})

    def close(self) -> None:
        with PDFIUM:
            if self._opened is not None:
                document, page = self._opened
                page.close()
                document.close()
            self._opened = None
        self._parts.close()


class _Joined(io.RawIOBase):
    """A PDF of one page that is the picture, as a file that does not exist: the JPEG is read
    where it lies."""

    def __init__(self, path: Path, width: int, height: int, space: bytes) -> None:
        self._file = path.open("rb")
        size = path.stat().st_size
        before, after = _wrapping(size, width, height, space)
        self._before, self._after = before, after
        self._starts = (0, len(before), len(before) + size)
        self._end = self._starts[2] + len(after)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._place < self._end:
            piece = self._piece(len(view) - done)
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._place += len(piece)
        return done

    def _piece(self, most: int) -> bytes:
        first, middle, last = self._starts
        if self._place < middle:
            return self._before[self._place - first :][:most]
        if self._place >= last:
            return self._after[self._place - last :][:most]
        self._file.seek(self._place - middle)
        return self._file.read(min(most, last - self._place))

    def close(self) -> None:
        self._file.close()
        super().close()


def _wrapping(size: int, width: int, height: int, space: bytes) -> tuple[bytes, bytes]:
    """What stands before and after a JPEG of `size` bytes in a PDF (ISO 32000-1, 7.5)."""
    box = b"[0 0 %d %d]" % (width, height)
    draw = b"q %d 0 0 %d 0 0 cm /I Do Q" % (width, height)
    image = (
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace%s/BitsPerComponent 8"
        b"/Filter/DCTDecode/Length %d>>\nstream\n" % (width, height, space, size)
    )
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox%s/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page % box,
        b"<</Length %d>>\nstream\n%s\nendstream" % (len(draw), draw),
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    offsets.append(len(data))
    data += b"5 0 obj\n" + image
    after = b"\nendstream\nendobj\n"
    table = len(data) + size + len(after)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    after += b"xref\n0 6\n0000000000 65535 f \n" + entries
    after += b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % table
    return data, after
