"""Generated JPEGs that cost as much to decode as photographs do."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

LARGE = (4000, 3000)  # 12 MP
SMALL = (512, 384)  # 0.2 MP
_DIFFERENT = 4
_QUALITY = 90


def photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write `count` JPEGs of `size` (width, height), no two with the same content.

    A few pictures are drawn; the others differ from them in a comment, which decodes as fast.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [_jpeg(size, seed) for seed in range(min(count, _DIFFERENT))]
    paths = []
    for number in range(count):
        comment = f"{number}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        data = drawn[number % len(drawn)]
        paths.append(folder / f"photo-{number:05d}.jpg")
        paths[-1].write_bytes(data[:2] + segment + data[2:])
    return paths


def _jpeg(size: tuple[int, int], seed: int) -> bytes:
    """Noise that falls off with frequency as in photographs, and a little of the sensor's own."""
    width, height = size
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 11):
        cells = 2**octave
        if cells > width:
            break
        layer = generator.normal(0, 1, (max(2, cells * height // width), cells, 3))
        for channel in range(3):
            grown = Image.fromarray(layer[..., channel].astype(np.float32)).resize(
                size, Image.Resampling.BILINEAR
            )
            total[..., channel] += 0.55**octave * np.asarray(grown)
    total *= 50 / total.std()
    total += generator.normal(0, 3, (height, width, 1)).astype(np.float32) + 120
    buffer = io.BytesIO()
    picture = Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
