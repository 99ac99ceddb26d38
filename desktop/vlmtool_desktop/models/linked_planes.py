"""Three planes through a volume that meet in one point: the arithmetic without Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.planes import Segment, reference_line, to_patient, to_picture
from vlmtool_core.media.volumes.volume import Volume

if TYPE_CHECKING:
    from vlmtool_desktop.models.plane_reader import ShownPlane

_ENDS_UNKNOWN = (("x ", "x -"), ("y ", "y -"), ("z ", "z -"))


class LinkedPlanes:
    """Where the planes are. They begin in the middle of a frame of the source."""

    def __init__(self, volume: Volume, frame: int) -> None:
        self._volume = volume
        middle = np.array(volume.sizes) // 2
        middle[2] = volume.frames.index(frame)
        self._point = volume.to_patient(middle)

    @property
    def point(self) -> tuple[float, float, float]:
        """LPS in mm."""
        x, y, z = self._point
        return float(x), float(y), float(z)

    def numbers(self) -> dict[str, int]:
        """By name of plane, the one that goes through the point."""
        return {plane.value: self._volume.plane_at(plane, self._point) for plane in Plane}

    def go_to(self, plane: PlaneGeometry, x: float, y: float) -> None:
        """To a point of a plane's picture, in pixels."""
        self._point = to_patient(plane, x, y)

    def step(self, name: str, steps: int) -> None:
        """To another plane of that name; the point keeps its place in the picture."""
        plane = Plane(name)
        now = self._volume.plane_at(plane, self._point)
        then = min(max(now + steps, 0), self._volume.count(plane) - 1)
        first, last = (self._volume.plane_geometry(plane, number) for number in (now, then))
        self._point = self._point + np.subtract(last.position, first.position)

    def pixel(self, plane: PlaneGeometry) -> tuple[float, float]:
        """Where the point lies in a plane's picture."""
        x, y, _ = to_picture(plane, self._point)
        return x, y

    def lines(self, name: str, shown: Mapping[str, ShownPlane]) -> dict[str, Segment]:
        """By name of the other planes, where they cut this one, in pixels of its picture."""
        own = shown[name]
        return {
            other.plane: found
            for other in shown.values()
            if other is not own
            and (
                found := reference_line(
                    own.geometry, own.picture.size, other.geometry, other.picture.size
                )
            )
            is not None
        }

    def told(self, unit: str) -> str:
        """The point as a person says it, and the value there."""
        ends = self._volume.ends or _ENDS_UNKNOWN
        sides = "  ".join(
            f"{ends[axis][0 if part >= 0 else 1]} {abs(part):.1f}"
            for axis, part in enumerate(self._point)
        )
        value = self._volume.value_at(self._point)
        return f"{sides} mm" if value is None else f"{sides} mm\n{value:g} {unit}".rstrip()
