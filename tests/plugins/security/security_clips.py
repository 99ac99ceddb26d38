"""Clips with known truth, drawn for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vlmtool_security.sample import write_clip

WIDTH, HEIGHT = 320, 192


def scene(seed: int = 3) -> np.ndarray:
    """uint8 (h, w, 3): blocks of different greys with fine texture."""
    random = np.random.default_rng(seed)
    blocks = random.integers(60, 170, (HEIGHT // 16, WIDTH // 16, 1)).repeat(3, 2)
    picture = blocks.repeat(16, 0).repeat(16, 1) + random.normal(0, 6, (HEIGHT, WIDTH, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


def square(frame: np.ndarray, x: float, y: float, size: int = 34, value: int = 235) -> None:
    """Draw a bright square with its top left corner at (x, y), cut at the frame's edges."""
    left, top = int(x), int(y)
    frame[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = value


def clip(
    path: Path,
    draw: Callable[[np.ndarray, float], np.ndarray | None],
    *,
    seconds: float = 12.0,
    times: list[float] | None = None,
    key_frame_every: int = 10,
) -> Path:
    """Write a clip; `draw(frame, time_s)` changes the frame or gives another one."""
    still = scene()
    stamps = times if times is not None else [i / 10 for i in range(round(seconds * 10))]

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        for time_s in stamps:
            frame = still.copy()
            drawn = draw(frame, time_s)
            yield (frame if drawn is None else drawn), time_s

    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, frames(), key_frame_every=key_frame_every)
    return path


def passing(
    start: float, end: float, *, y: float = 80, size: int = 34
) -> Callable[[np.ndarray, float], None]:
    """A square that crosses the picture from left to right between two times."""

    def draw(frame: np.ndarray, time_s: float) -> None:
        if start <= time_s <= end:
            part = (time_s - start) / (end - start)
            square(frame, part * (WIDTH - size), y, size)

    return draw
