"""What a person measures with, and what it comes to. Points are in pixels, as in `records`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class MeasurementKind(StrEnum):
    DISTANCE = "distance"
    POLYLINE = "polyline"
    ANGLE = "angle"
    COBB = "cobb"
    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"
    FREEHAND = "freehand"

    @property
    def is_region(self) -> bool:
        """Whether it has an area, and values inside."""
        return self in (self.RECTANGLE, self.ELLIPSE, self.FREEHAND)

    @property
    def points_needed(self) -> tuple[int, int]:
        """The least and the largest number of points."""
        return _POINTS_NEEDED[self]


_MOST_POINTS = 2000
_POINTS_NEEDED = {
    MeasurementKind.DISTANCE: (2, 2),
    MeasurementKind.POLYLINE: (2, _MOST_POINTS),
    MeasurementKind.ANGLE: (3, 3),
    MeasurementKind.COBB: (4, 4),
    MeasurementKind.RECTANGLE: (2, 2),
    MeasurementKind.ELLIPSE: (2, 2),
    MeasurementKind.FREEHAND: (3, _MOST_POINTS),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a shape came to on the pixels of a frame; only the numbers of its kind are filled.

    length, area : in `unit` (mm, or px where the spacing is not known) and its square
    angle : degrees
    count, mean, sd, minimum, maximum : of the values inside, in `value_unit`, padding left out
    left_out : pixels inside that hold no value
    outside : whether the shape reaches beyond the picture
    spacing : (between rows, between columns) in mm per pixel; spacing_source : who says so
    projected : whether `spacing` is not that of the plane that was imaged, but of a detector
    suv_factor : values times this are SUVbw in g/ml
    note : why there are no values, else ""
    """

    unit: str = "px"
    length: float | None = None
    angle: float | None = None
    area: float | None = None
    count: int | None = None
    mean: float | None = None
    sd: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    value_unit: str = ""
    left_out: int = 0
    outside: bool = False
    spacing: tuple[float, float] | None = None
    spacing_source: str = ""
    projected: bool = False
    suv_factor: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A shape that a person measured with, and what it came to then.

    points : (x, y) in pixels: the ends of a line, the corners of an outline; of an angle the
        vertex is the second; of Cobb two lines after each other; of a rectangle, or of the one
        that an ellipse fills, two opposite corners
    """

    kind: MeasurementKind
    points: tuple[tuple[float, float], ...]
    result: Measured = Measured()

    def __post_init__(self) -> None:
        least, most = self.kind.points_needed
        if not least <= len(self.points) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"a {self.kind} has {wanted} points, got {len(self.points)}")
        if not all(math.isfinite(value) for point in self.points for value in point):
            raise ValueError(f"a {self.kind} needs finite points")
