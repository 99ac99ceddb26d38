"""Writes small video files with known frames, so that every claim about decoding has a truth."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 96, 64


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A grey ramp with `number` written as eight black or white tiles, and a bright top left."""
    frame = np.full((height, width, 3), 96, np.uint8)
    frame[: height // 4, : width // 4] = (230, 40, 40)
    side = width // 8
    for bit in range(8):
        value = 255 if number >> bit & 1 else 0
        frame[height // 2 : height // 2 + side, bit * side : (bit + 1) * side] = value
    return frame


def read_number(pixels: np.ndarray) -> int:
    """The number that `numbered_frame` wrote into upright pixels of any size."""
    height, width = pixels.shape[:2]
    side = width / 8
    row = int(height // 2 + side / 2)
    tiles = [pixels[row, int((bit + 0.5) * side)].mean() > 127 for bit in range(8)]
    return sum(1 << bit for bit, on in enumerate(tiles) if on)


def write_clip(
    path: Path,
    count: int = 40,
    *,
    codec: str = "libx264",
    rate: int = 25,
    times_ms: Sequence[int] | None = None,
    rotation: float | None = None,
    gop: int = 12,
    b_frames: int = 2,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Path:
    """Frames 0 to count-1 at `rate`, or at `times_ms`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.gop_size = gop
        context.max_b_frames = b_frames
        # AVI counts frames: it has no other times than multiples of its rate.
        context.time_base = Fraction(1, rate if path.suffix == ".avi" else 1000)
        if codec == "libx264":
            stream.options = {"crf": "10", "preset": "veryfast"}
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, width, height), "rgb24")
            frame.pts = times_ms[number] if times_ms else round(number * 1000 / rate)
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
