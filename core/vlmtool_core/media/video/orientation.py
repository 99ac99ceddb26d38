"""How a video asks to be turned and mirrored: the display matrix, applied once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

_ONE = 1 << 16  # the matrix is in 16.16 fixed point
_SKEW = 0.02


@dataclass(frozen=True, slots=True)
class Orientation:
    """First transposed, then turned over: `flip_rows` top to bottom, `flip_columns` side to side.

    exact : False where the file asks for an angle between the right angles
    """

    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    exact: bool = True

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Coded pixels (h, w, ...) as they are to be seen; a contiguous array."""
        if self.transposed:
            pixels = np.swapaxes(pixels, 0, 1)
        if self.flip_rows:
            pixels = pixels[::-1]
        if self.flip_columns:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of coded pixels as they are to be seen; the same way back."""
        return (height, width) if self.transposed else (width, height)

    @property
    def mirrored(self) -> bool:
        return (self.transposed + self.flip_rows + self.flip_columns) % 2 == 1

    @property
    def rotation_deg(self) -> int:
        """Degrees counter-clockwise; of a mirrored picture, those before it is mirrored across."""
        flip_columns = self.flip_columns != self.mirrored
        if self.transposed:
            return 270 if flip_columns else 90
        return 180 if flip_columns else 0


UPRIGHT = Orientation()


def orientation_of(picture: VideoFrame) -> Orientation:
    """What the display matrix of a decoded frame says (ISO/IEC 14496-12, 8.3.2)."""
    matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    values = np.frombuffer(memoryview(matrix), np.int32)
    return of_matrix(*(float(value) / _ONE for value in values[[0, 1, 3, 4]]))


def of_matrix(a: float, b: float, c: float, d: float) -> Orientation:
    """The nearest of the eight orientations; a pixel (x, y) goes to (a x + c y, b x + d y)."""
    scale = max(abs(a), abs(b), abs(c), abs(d))
    if not np.isfinite(scale) or scale == 0:
        return Orientation(exact=False)
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    right, wrong = ((b, c), (a, d)) if transposed else ((d, a), (b, c))
    exact = max(abs(value) for value in wrong) <= _SKEW * scale and min(map(abs, right)) > 0
    return Orientation(transposed, bool(right[0] < 0), bool(right[1] < 0), bool(exact))
