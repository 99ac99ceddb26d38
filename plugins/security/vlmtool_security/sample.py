"""Draws a short surveillance clip to try the workflow with."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.api import WorkflowSample

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT, RATE, SECONDS = 480, 270, 10, 24
# (start, end) of the two walks in seconds: what a triage of the clip has to find.
WALKS = ((4.0, 9.0), (15.0, 19.0))


def draw_sample(folder: Path) -> WorkflowSample:
    """A clip of 24 s: a yard, a figure that crosses it twice, a slow change of light."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "yard.mp4"
    write_clip(path, ((frame, index / RATE) for index, frame in enumerate(_frames())))
    return WorkflowSample((path,), {"tags": False})


def _frames() -> Iterator[np.ndarray]:
    scene = _scene()
    for index in range(SECONDS * RATE):
        time_s = index / RATE
        frame = scene.copy()
        for number, (start, end) in enumerate(WALKS):
            if start <= time_s < end:
                part = (time_s - start) / (end - start)
                _figure(frame, part if number == 0 else 1 - part, index)
        yield _lit(frame, 1.0 + 0.15 * time_s / SECONDS)


def _scene() -> np.ndarray:
    import cv2
    import numpy as np

    random = np.random.default_rng(7)
    scene = np.full((HEIGHT, WIDTH, 3), (120, 118, 112), np.uint8)
    scene[: HEIGHT // 2] = (150, 160, 175)
    cv2.rectangle(scene, (40, 40), (180, 150), (130, 90, 70), -1)
    cv2.rectangle(scene, (90, 80), (130, 150), (60, 45, 40), -1)
    cv2.rectangle(scene, (320, 70), (450, 150), (95, 110, 90), -1)
    for x in range(0, WIDTH, 60):
        cv2.line(scene, (x, HEIGHT), (WIDTH // 2 + (x - WIDTH // 2) // 3, 150), (90, 90, 88), 1)
    grain = random.normal(0, 4, scene.shape)
    mixed: np.ndarray = np.clip(scene + grain, 0, 255).astype(np.uint8)
    return mixed


def _figure(frame: np.ndarray, part: float, index: int) -> None:
    import cv2

    x, y = int(-20 + part * (WIDTH + 40)), 215
    stride = 7 if index % 4 < 2 else -7
    cv2.circle(frame, (x, y - 62), 9, (215, 180, 150), -1)
    cv2.rectangle(frame, (x - 11, y - 53), (x + 11, y - 18), (30, 40, 90), -1)
    cv2.line(frame, (x, y - 18), (x - stride, y + 12), (25, 25, 30), 7)
    cv2.line(frame, (x, y - 18), (x + stride, y + 12), (25, 25, 30), 7)


def _lit(frame: np.ndarray, factor: float) -> np.ndarray:
    import numpy as np

    lit: np.ndarray = np.clip(frame * factor, 0, 255).astype(np.uint8)
    return lit


def write_clip(
    path: Path, frames: Iterator[tuple[np.ndarray, float]], *, key_frame_every: int = 10
) -> None:
    """Write RGB frames uint8 (h, w, 3), each with its time in seconds, as an MPEG-4 video."""
    import av

    # The table of frames goes to the front, as recorders do: a cut copy then still opens.
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.bit_rate = 1_500_000
        stream.gop_size = key_frame_every
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, (pixels, time_s) in enumerate(frames):
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
