"""Writes pictures of any size in bounded memory: a few coded strips or tiles, over and over.

What they show differs from strip to strip, so that nothing is cached that would not be.
"""

from __future__ import annotations

import io
import re
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from skimage import data

STRIP = 128
KINDS = 8
TILE = 512


def strips(width: int) -> list[np.ndarray]:
    """uint8 (128, width, 3): a photograph with grain, each strip from another place of it."""
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((2048, 2048)))
    grain = np.random.default_rng(0).integers(0, 12, (STRIP, width, 3), np.uint8)
    found = []
    for kind in range(KINDS):
        row = photo[kind * 250 : kind * 250 + STRIP]
        across = np.tile(row, (1, width // row.shape[1] + 1, 1))[:, :width]
        found.append(across // 2 + 40 + np.roll(grain, 977 * kind, axis=1))
    return found


def rows_of(side: int) -> int:
    """The height that is written: whole strips."""
    return side // STRIP * STRIP


def write_jpeg(path: Path, side: int) -> Path:
    """Strips of eight rows of blocks, joined at their restart markers (T.81, E.1.4)."""
    scans, head = [], b""
    for strip in strips(side):
        buffer = io.BytesIO()
        options = {"quality": 85, "restart_marker_rows": 1}
        Image.fromarray(strip).save(buffer, "JPEG", **options)
        coded = buffer.getvalue()
        begin = coded.index(b"\xff\xda")
        begin += 2 + struct.unpack_from(">H", coded, begin + 2)[0]
        head = coded[:begin]
        scans.append(coded[begin:-2])
    frame = head.index(b"\xff\xc0") + 5
    height = rows_of(side)
    head = head[:frame] + struct.pack(">H", height) + head[frame + 2 :]
    with path.open("wb") as file:
        file.write(head)
        for number in range(height // STRIP):
            file.write((b"\xff\xd7" if number else b"") + scans[number % KINDS])
        file.write(b"\xff\xd9")
    return path


def write_png(path: Path, side: int) -> Path:
    """Strips deflated by themselves and put one after the other, with the checksum of all."""
    plain, packed = [], []
    for strip in strips(side):
        filtered = np.zeros((STRIP, 1 + 3 * side), np.uint8)
        filtered[:, 0] = 1  # each pixel less its left neighbour
        filtered[:, 1:4] = strip[:, 0]
        filtered[:, 4:] = np.diff(strip, axis=1).reshape(STRIP, -1)
        packer = zlib.compressobj(1, wbits=-15)
        packed.append(packer.compress(filtered.tobytes()) + packer.flush(zlib.Z_FULL_FLUSH))
        plain.append(filtered.tobytes())
    height, checksum = rows_of(side), 1
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", side, height, 8, 2, 0, 0, 0))
        _chunk(file, b"IDAT", b"\x78\x01")
        for number in range(height // STRIP):
            _chunk(file, b"IDAT", packed[number % KINDS])
            checksum = zlib.adler32(plain[number % KINDS], checksum)
        _chunk(file, b"IDAT", b"\x03\x00" + struct.pack(">I", checksum))
        _chunk(file, b"IEND", b"")
    return path


def _chunk(file: io.BufferedWriter, kind: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + kind + body)
    file.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))


def write_strip_tiff(path: Path, side: int) -> Path:
    """Deflated strips, without smaller levels."""
    packed = [zlib.compress(strip.tobytes(), 1) for strip in strips(side)]
    height = rows_of(side)
    tifffile.imwrite(
        path,
        (packed[number % KINDS] for number in range(height // STRIP)),
        shape=(height, side, 3),
        dtype=np.uint8,
        photometric="rgb",
        rowsperstrip=STRIP,
        compression="zlib",
        bigtiff=True,
    )
    return path


def write_pyramid(path: Path, side: int) -> Path:
    """JPEG tiles at halves down to a screen's size."""
    sides = [side]
    while sides[-1] > 2 * TILE:
        sides.append(sides[-1] // 2)
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((4 * TILE, 4 * TILE)))
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level, length in enumerate(sides):
            writer.write(
                _tiles(photo, -(-length // TILE)),
                shape=(length, length, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                tile=(TILE, TILE),
                compression="jpeg",
                subifds=len(sides) - 1 if level == 0 else None,
                subfiletype=int(level > 0),
            )
    return path


def _tiles(photo: np.ndarray, across: int) -> Iterator[bytes]:
    """Coded tiles, row by row."""
    import imagecodecs

    coded = [
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(photo[y : y + TILE, x : x + TILE]),
            level=85,
            outcolorspace="YCBCR",
            subsampling=(1, 1),
        )
        for y in range(0, photo.shape[0], TILE)
        for x in range(0, photo.shape[1], TILE)
    ]
    for number in range(across * across):
        yield bytes(coded[(7 * (number // across) + number % across) % len(coded)])


# Run as a program: opens a picture as the window does, and prints what it took.

FIRST_LOOKS = 12


def look(path: Path, small: Path) -> tuple[float, float]:
    """(seconds to the first view, most memory in MB after looking around in it).

    small : a picture of the same kind, opened first for the sake of the imports
    """
    from vlmtool_core.media import open_media

    with open_media(small) as warm:
        warm.frame(max_side=64)
    begun = time.perf_counter()
    with open_media(path) as opened:
        source: Any = opened
        if source.overview().pixels.std() == 0:  # read from its top: the first rows are the view
            source.prepare(0)
            assert source.region(0, 0, 0, TILE, STRIP).std() > 0
        seconds = time.perf_counter() - begun
        source.prepare(5)
        for number in range(FIRST_LOOKS):
            level = number % len(source.levels())
            size = source.levels()[level]
            x = (size.width - TILE // 2) * number // FIRST_LOOKS
            source.region(level, x, x * size.height // size.width // 2, TILE // 2, TILE // 2)
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    return seconds, int(peak.group(1)) / 1000 if peak else float("nan")


if __name__ == "__main__":
    print(*look(Path(sys.argv[1]), Path(sys.argv[2])))
