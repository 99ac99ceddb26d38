"""Writes small videos of every kind that the tests need, with known frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from media_clips import HEIGHT, WIDTH, numbered_frame

Painter = Callable[[int, int, int], np.ndarray]


def encode(
    path: Path,
    count: int = 40,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    gop: int = 12,
    b_frames: int = 2,
    width: int = WIDTH,
    height: int = HEIGHT,
    paint: Painter = numbered_frame,
    container: Mapping[str, str] | None = None,
    prepare: Callable[[Any], None] | None = None,
) -> Path:
    """Frames 0 to count-1 as `paint(number, width, height)` draws them.

    container : options of the muxer; prepare : is given the stream before the first frame
    """
    with av.open(str(path), "w", options=dict(container or {})) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.gop_size, context.max_b_frames = gop, b_frames
        context.time_base = Fraction(1, rate)
        if codec not in ("ffv1", "libsvtav1"):
            context.bit_rate = 2_000_000
        stream.options = dict(options or {})
        if prepare is not None:
            prepare(stream)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(paint(number, width, height), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def remux(
    source: Path,
    target: Path,
    *,
    options: Mapping[str, str] | None = None,
    shift: Callable[[Any], bool] | None = None,
) -> Path:
    """Copy the packets of the first picture track; `shift` may change each, False drops it."""
    with (
        av.open(str(source)) as given,
        av.open(str(target), "w", options=dict(options or {})) as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is None or (shift is not None and not shift(packet)):
                continue
            packet.stream = stream
            made.mux(packet)
    return target
