"""A decoded frame as images of falling size, made in the viewer's thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage

if TYPE_CHECKING:
    import numpy as np

_SMALLEST_SIDE = 700


@dataclass(frozen=True)
class Picture:
    """`levels`: the image, then halves of it; `size`: (width, height) that boxes refer to.

    aspect : height of a pixel over its width, on the screen
    """

    size: tuple[int, int]
    levels: tuple[QImage, ...] = field(repr=False)
    aspect: float = 1.0

    def same_shape(self, other: Picture) -> bool:
        """Whether a place in one is the same place in the other."""
        return self.size == other.size and self.aspect == other.aspect

    def level_for(self, scale: float) -> QImage:
        """The smallest level that still has a pixel for each pixel drawn at `scale`."""
        wanted = scale * self.size[0]
        for level in reversed(self.levels):
            if level.width() >= wanted:
                return level
        return self.levels[0]


def to_image(pixels: np.ndarray) -> QImage:
    """uint8 (h, w, 3) RGB or (h, w) grey as an image with memory of its own."""
    import numpy

    pixels = numpy.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    kind = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
    image = QImage(pixels.data, width, height, pixels.strides[0], kind)
    return image.convertToFormat(QImage.Format.Format_RGB32)


def make_picture(pixels: np.ndarray, size: tuple[int, int], aspect: float = 1.0) -> Picture:
    """The picture of `pixels` for an oriented source of `size` (width, height)."""
    levels = [to_image(pixels)]
    while max(levels[-1].width(), levels[-1].height()) > 2 * _SMALLEST_SIDE:
        last = levels[-1]
        half = last.scaled(
            max(1, last.width() // 2),
            max(1, last.height() // 2),
            Qt.AspectRatioMode.IgnoreAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        levels.append(half)
    return Picture(size, tuple(levels), aspect)
