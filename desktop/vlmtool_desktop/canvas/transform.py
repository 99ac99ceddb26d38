"""Where the picture lies in the view: scale and offset, as arithmetic without Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

MINIMUM_SCALE = 0.005
MAXIMUM_SCALE = 64.0


@dataclass(frozen=True, slots=True)
class ViewTransform:
    """`view = offset + scale * image`, both in pixels, y downwards.

    aspect : height of an image pixel over its width; the scale is that across
    """

    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0
    aspect: float = 1.0

    @property
    def down(self) -> float:
        """The scale downwards."""
        return self.scale * self.aspect

    def to_view(self, x: float, y: float) -> tuple[float, float]:
        return self.x + self.scale * x, self.y + self.down * y

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.x) / self.scale, (y - self.y) / self.down

    def panned(self, dx: float, dy: float) -> Self:
        return replace(self, x=self.x + dx, y=self.y + dy)

    def zoomed(self, factor: float, x: float, y: float) -> Self:
        """Scaled by `factor`; what lies under the view point (x, y) stays there."""
        scale = min(MAXIMUM_SCALE, max(MINIMUM_SCALE, self.scale * factor))
        factor = scale / self.scale
        return replace(self, scale=scale, x=x - factor * (x - self.x), y=y - factor * (y - self.y))

    @classmethod
    def fitting(
        cls,
        view: tuple[float, float],
        image: tuple[float, float],
        margin: float = 12.0,
        aspect: float = 1.0,
    ) -> Self:
        """The whole image in the middle of the view, with `margin` pixels around it."""
        width, height = max(1.0, image[0]), max(1.0, image[1] * aspect)
        room = max(1.0, view[0] - 2 * margin), max(1.0, view[1] - 2 * margin)
        scale = min(room[0] / width, room[1] / height)
        scale = min(MAXIMUM_SCALE, max(MINIMUM_SCALE, scale))
        return cls(scale, (view[0] - scale * width) / 2, (view[1] - scale * height) / 2, aspect)

    def kept_in_sight(self, view: tuple[float, float], image: tuple[float, float]) -> Self:
        """Moved so that at least a quarter of the view, or of the image, stays visible."""

        def clamp(offset: float, room: float, size: float) -> float:
            keep = min(room, size) / 4
            return min(room - keep, max(keep - size, offset))

        x = clamp(self.x, view[0], image[0] * self.scale)
        return replace(self, x=x, y=clamp(self.y, view[1], image[1] * self.down))
