"""Folders of small pictures, and the tiny engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of n pictures with different colours."""

    def make(count: int, name: str = "in") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for number in range(count):
            colour = np.array([number * 7 % 256, number * 3 % 256, 255 - number % 256], np.uint8)
            Image.fromarray(np.full((24, 32, 3), colour)).save(folder / f"p{number}.png")
        return folder

    return make


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of 100 frames at 10 frames per second, each with its own brightness."""
    import av

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(100):
            pixels = np.full((48, 64, 3), 2 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
