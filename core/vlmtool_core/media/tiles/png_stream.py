"""A PNG of any size read in bands of rows: inflated as it comes, unfiltered by libpng."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.pictures.coded import with_colour
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pixels import full_range

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# A PNG type and depth whose pixels have this many bytes; filters know bytes only (PNG, 9.2).
_BY_BYTES = {1: (0, 8), 2: (4, 8), 3: (2, 8), 4: (6, 8), 6: (2, 16), 8: (6, 16)}
_CHUNK = 1 << 20
_LONGEST_TEXT = 1 << 24


class PngRows:
    """Rows of a PNG that is not interlaced; going back begins again at the top.

    texts : what Pillow read of the file (profile, gamma)

    Raises
    ------
    ValueError : it is interlaced, or its header is broken
    """

    random = False

    def __init__(self, path: Path, texts: dict[Any, Any]) -> None:
        self._path = path
        self._texts = texts
        self._file = path.open("rb")
        head = self._file.read(33)
        self.width, self.height, self._bits, kind, _, _, interlaced = struct.unpack_from(
            ">IIBBBBB", head, 16
        )
        if not head.startswith(_SIGNATURE) or interlaced or kind not in _SAMPLES:
            self._file.close()
            raise ValueError("not a PNG in plain rows")
        self._kind = kind
        self._samples = _SAMPLES[kind]
        self._row_bytes = (self.width * self._bits * self._samples + 7) // 8
        self._pixel_bytes = max(1, self._bits * self._samples // 8)
        self._palette: np.ndarray | None = None
        self._restart()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.height),)

    @property
    def decoder(self) -> str:
        import imagecodecs

        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}, imagecodecs {imagecodecs.__version__}"

    def _restart(self) -> None:
        self._row = 0
        self._above = bytes(self._row_bytes)
        self._pixels = _inflated(self._file, self._take_palette)
        self._rest = bytearray()

    def _take_palette(self, body: bytes) -> None:
        self._palette = np.zeros((256, 3), np.uint8)
        colours = np.frombuffer(body[: len(body) // 3 * 3], np.uint8).reshape(-1, 3)
        self._palette[: len(colours)] = colours[:256]

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `TileReader.read`; level is 0."""
        assert level == 0
        with decoding(self._path):
            if y < self._row:
                self._restart()
            while self._row < y:
                self._band(min(512, y - self._row))
            raw = self._band(height)
            return self._meant(raw)[:, x : x + width]

    def _band(self, rows: int) -> np.ndarray:
        """The bytes of the next rows, uint8 (rows, bytes of a row)."""
        needed = rows * (self._row_bytes + 1)
        while len(self._rest) < needed:
            piece = next(self._pixels, None)
            if piece is None:
                raise DamagedMediaError(
                    f"the file is truncated after row {self._row} of {self.height}", path=self._path
                )
            self._rest += piece
        filtered = bytes(memoryview(self._rest)[:needed])
        del self._rest[:needed]
        band = _unfiltered(self._above, filtered, rows, self._row_bytes, self._pixel_bytes)
        self._above = band[-1].tobytes()
        self._row += rows
        return band

    def _meant(self, raw: np.ndarray) -> np.ndarray:
        """uint8 sRGB (rows, width, 3) of the bytes of rows."""
        if self._bits == 16:
            values = raw.view(">u2").reshape(len(raw), self.width, self._samples)
            pixels = full_range(values.astype(np.uint16), 16)
        elif self._bits == 8:
            pixels = raw.reshape(len(raw), self.width, self._samples)
        else:
            bits = np.unpackbits(raw, axis=1)[:, : self.width * self._bits]
            shifts = np.arange(self._bits - 1, -1, -1, dtype=np.uint8)
            pixels = (bits.reshape(len(raw), self.width, self._bits) << shifts).sum(
                axis=2, dtype=np.uint8
            )[:, :, None]
            if self._kind != 3:
                pixels = full_range(pixels, self._bits)
        if self._kind == 3:
            if self._palette is None:
                raise ValueError("the palette is missing")
            pixels = self._palette[pixels[:, :, 0]]
        return with_colour(pixels, self._texts, {})

    def quick(self, side: int) -> np.ndarray | None:  # noqa: ARG002
        """None: a PNG can only be read from its top."""
        return None

    def close(self) -> None:
        self._file.close()


def _inflated(file: BinaryIO, take_palette: Any) -> Iterator[bytes]:
    """The filtered rows of the IDAT chunks, in pieces of bounded size."""
    inflater = zlib.decompressobj()
    file.seek(len(_SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            while length:
                data = file.read(min(length, _CHUNK))
                if not data:
                    return
                length -= len(data)
                while data:
                    yield inflater.decompress(data, _CHUNK * 4)
                    data = inflater.unconsumed_tail
            file.seek(4, 1)
        elif kind == b"IEND":
            return
        elif kind == b"PLTE" and length < _LONGEST_TEXT:
            take_palette(file.read(length))
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)


def _unfiltered(
    above: bytes, filtered: bytes, rows: int, row_bytes: int, pixel_bytes: int
) -> np.ndarray:
    """Let libpng undo the filters: a PNG of these rows, under the one above them, uncompressed."""
    import imagecodecs

    kind, depth = _BY_BYTES[pixel_bytes]
    header = struct.pack(">IIBBBBB", row_bytes // pixel_bytes, rows + 1, depth, kind, 0, 0, 0)
    data = zlib.compress(b"\0" + above + filtered, 0)
    small = b"".join(
        (_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    )
    decoded = imagecodecs.png_decode(small)
    if decoded.dtype == np.uint16:
        decoded = decoded.astype(">u2").view(np.uint8)
    result: np.ndarray = decoded.reshape(rows + 1, row_bytes)[1:]
    return result


def _chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
