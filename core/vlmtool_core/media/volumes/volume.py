"""A volume in memory and the planes through it, each with its place in the patient."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

import numpy as np

from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.volumes.axes import Layout, Plane, Run, layout, position
from vlmtool_core.media.volumes.letters import BIPED, EdgeLetters, letters_of_plane
from vlmtool_core.media.volumes.planes import to_patient

# In int16 volumes: nothing was measured here. In float32 volumes that is NaN.
PADDING = np.iinfo(np.int16).min

_SAME = 1e-4
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Reslice:
    """One plane through a volume: masked float32 (h, w), and where it lies."""

    values: np.ma.MaskedArray
    geometry: PlaneGeometry


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a regular grid.

    values : int16 or float32 (k, j, i); `PADDING` or NaN where there is none
    affine : float64 (4, 4), from voxel (i, j, k, 1) to LPS in mm
    unit : of the values, "" when unknown
    frames : which frame of the source each k is
    ends : letters of both ends of the patient's axes, None where they are not known
    frame_of_reference : UID; where the source has none, one that only this volume has
    """

    values: np.ndarray
    affine: np.ndarray
    unit: str = ""
    frames: tuple[int, ...] = ()
    ends: tuple[tuple[str, str], ...] | None = BIPED
    frame_of_reference: str = field(default_factory=lambda: f"local:{uuid.uuid4()}")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        through, down, across = self.values.shape
        return across, down, through

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Distances of voxels along i, j, k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    def count(self, plane: Plane) -> int:
        """How many planes of that name there are."""
        return self.sizes[self._layout(plane).step.axis]

    def letters(self, plane: PlaneGeometry) -> EdgeLetters | None:
        """What lies at the edges of a plane through the volume; None when that is not known."""
        return None if self.ends is None else letters_of_plane(plane, self.ends)

    def to_patient(self, voxel: np.ndarray) -> np.ndarray:
        """float64 (3,) LPS in mm of (i, j, k)."""
        found: np.ndarray = self.affine[:3, :3] @ np.asarray(voxel, np.float64) + self.affine[:3, 3]
        return found

    def to_voxel(self, point: np.ndarray) -> np.ndarray:
        """float64 (3,): (i, j, k) of a point in LPS mm."""
        away = np.asarray(point, np.float64) - self.affine[:3, 3]
        found: np.ndarray = np.linalg.solve(self.affine[:3, :3], away)
        return found

    def plane_at(self, plane: Plane, point: np.ndarray) -> int:
        """The number of the plane nearest to a point in LPS mm."""
        step = self._layout(plane).step
        number = round(float(self.to_voxel(point)[step.axis]))
        last = self.sizes[step.axis] - 1
        number = min(max(number, 0), last)
        return number if step.forward else last - number

    def value_at(self, point: np.ndarray) -> float | None:
        """The value of the voxel at a point in LPS mm; None outside, and in padding."""
        i, j, k = (int(index) for index in np.rint(self.to_voxel(point)))
        inside = all(0 <= index < size for index, size in zip((i, j, k), self.sizes, strict=True))
        if not inside:
            return None
        value = self.values[k, j, i]
        padding = value == PADDING if self.values.dtype == np.int16 else np.isnan(value)
        return None if padding else float(value)

    def plane_geometry(self, plane: Plane, number: int) -> PlaneGeometry:
        """Where plane `number` lies; its pixels are voxels, as in `reslice` without `square`."""
        shown = self._layout(plane)
        spacing = self.voxel_mm[shown.down.axis], self.voxel_mm[shown.right.axis]
        return self._geometry(shown, number, spacing)

    def plane_of_frame(self, frame: int) -> tuple[Plane, int]:
        """The plane that a frame of the source is, and its number.

        Raises
        ------
        ValueError : the volume does not have the frame
        """
        along = self.frames.index(frame)
        for plane in Plane:
            step = self._layout(plane).step
            if step.axis == 2:
                return plane, along if step.forward else len(self.frames) - 1 - along
        raise ValueError("no plane is stepped along k")

    def reslice(
        self, plane: Plane, number: int, *, square: bool = True, interpolate: bool = True
    ) -> Reslice:
        """Plane `number`, 0-based: axial from foot to head, sagittal from right to left, coronal
        from front to back. It follows the axes of the voxels; its name is that of the nearest
        plane of the patient, and it is shown as radiology does.

        square : bring the pixels to the smaller of both spacings, which covers all voxels from
            edge to edge; else they are the voxels themselves, and the spacing of the geometry
            says how they are stretched
        interpolate : linearly between the middles of voxels; else the nearest one. A value next
            to padding is padding.

        Raises
        ------
        IndexError : there is no such plane
        """
        shown = self._layout(plane)
        if not 0 <= number < self.count(plane):
            raise IndexError(f"no {plane} plane {number}; there are {self.count(plane)}")
        values, plain = self._cut(shown, number), self.plane_geometry(plane, number)
        finest = min(plain.spacing)
        steps = [finest / size if square else 1.0 for size in plain.spacing]
        if all(abs(step - 1) <= _SAME for step in steps):
            return Reslice(np.ma.masked_invalid(values, copy=False), plain)
        values, above = _resampled(values, 0, steps[0], interpolate)
        values, before = _resampled(values, 1, steps[1], interpolate)
        corner = to_patient(plain, 0.5 - before * steps[1], 0.5 - above * steps[0])
        where = (float(corner[0]), float(corner[1]), float(corner[2]))
        geometry = replace(plain, position=where, spacing=(finest, finest))
        return Reslice(np.ma.masked_invalid(values, copy=False), geometry)

    def _layout(self, plane: Plane) -> Layout:
        return layout(plane, self.affine)

    def _cut(self, shown: Layout, number: int) -> np.ndarray:
        """float32 (h, w), NaN for padding."""
        # Axes i, j, k of the grid are 2, 1, 0 of the array.
        step = shown.step
        along = number if step.forward else self.sizes[step.axis] - 1 - number
        plane = np.take(self.values, along, axis=2 - step.axis)
        if shown.down.axis < shown.right.axis:
            plane = plane.T
        rows = slice(None, None, 1 if shown.down.forward else -1)
        columns = slice(None, None, 1 if shown.right.forward else -1)
        plane = plane[rows, columns]
        found = plane.astype(np.float32)
        if plane.dtype == np.int16:
            found[plane == PADDING] = np.nan
        return found

    def _geometry(self, shown: Layout, number: int, spacing: tuple[float, float]) -> PlaneGeometry:
        x, y, z = self.to_patient(position(shown, self.sizes, number))
        return PlaneGeometry(
            (float(x), float(y), float(z)),
            self._direction(shown.right),
            self._direction(shown.down),
            spacing,
            self.frame_of_reference,
        )

    def _direction(self, run: Run) -> tuple[float, float, float]:
        column = self.affine[:3, run.axis] / self.voxel_mm[run.axis]
        x, y, z = (column if run.forward else -column) + 0.0  # no negative zeros
        return float(x), float(y), float(z)


def _resampled(
    values: np.ndarray, axis: int, step: float, interpolate: bool
) -> tuple[np.ndarray, int]:
    """Values every `step` voxels along an axis, and how many of them lie before the first voxel.

    One lies in the middle of the first voxel, and all voxels are covered from edge to edge:
    beyond the middle of the outermost ones their own value holds.
    """
    if abs(step - 1) <= _SAME:
        return values, 0
    last = values.shape[axis] - 1
    before = int(0.5 / step + _ROUNDING)
    behind = int((last + 0.5) / step + _ROUNDING)
    places = np.clip(np.arange(-before, behind + 1) * step, 0, last)
    if not interpolate:
        return np.take(values, np.rint(places).astype(np.intp), axis=axis), before
    below = np.minimum(places.astype(np.intp), max(last - 1, 0))
    part = (places - below).astype(np.float32)
    weight = part[:, None] if axis == 0 else part[None, :]
    low = np.take(values, below, axis=axis)
    high = np.take(values, np.minimum(below + 1, last), axis=axis)
    # At a voxel itself its neighbour does not matter, be it padding.
    mixed = np.where(weight == 0, low, low + weight * (high - low))
    return np.where(weight == 1, high, mixed), before
