"""What a huge picture offers: levels of falling size, and parts of each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

# From here on a picture is read in parts; below, it is decoded whole.
HUGE_PIXELS = 100_000_000
# Most pixels that one answer holds.
MOST_PIXELS = 64_000_000
# Halves are made until the longer side is no longer than this.
SMALLEST_SIDE = 1024
# A band of 256 rows, itself already half of the file's, can be halved that often.
MOST_HALVES = 7


@dataclass(frozen=True, slots=True)
class Level:
    """One size of the whole picture, in pixels. downsample : how many times smaller than level 0"""

    width: int
    height: int
    downsample: float


class TileReader(Protocol):
    """Reads parts of a picture as stored, before its orientation.

    sizes : (width, height) of each level in the file, the largest first
    random : whether any part can be read without reading what lies before it
    decoder : name and version; facts, warnings : for `MediaInfo`
    """

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...

    @property
    def random(self) -> bool: ...

    @property
    def decoder(self) -> str: ...

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """uint8 sRGB (height, width, 3) of a part that lies inside the level.

        Raises
        ------
        MediaError : it cannot be decoded
        """
        ...

    def quick(self, side: int) -> np.ndarray | None:
        """The whole picture, coarsely, as soon as a second allows; None where that is too soon."""
        ...

    def close(self) -> None: ...


def halved_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Sizes below (width, height), each half of the one before, rounded up."""
    sizes: list[tuple[int, int]] = []
    while max(width, height) > SMALLEST_SIDE and len(sizes) < MOST_HALVES:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    return sizes
