"""Sources of slices with values that are known everywhere, for the tests of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from vlmtool_core.media.base import MediaInfo, PixelSpacing, PlaneGeometry, Window
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.volumes.planes import to_patient
from vlmtool_core.media.volumes.volume import Volume
from vlmtool_core.records import MediaKind

GRADIENT = np.array([0.7, -0.4, 1.3])


def linear(points: np.ndarray) -> np.ndarray:
    """A linear function of the place in the patient: (..., 3) mm to values."""
    found: np.ndarray = np.asarray(points) @ GRADIENT + 25.0
    return found


class PlanesSource(SourceBase):
    """Frames whose values and places are given."""

    def __init__(
        self,
        values: Sequence[np.ndarray],
        planes: Sequence[PlaneGeometry | None],
        unit: str = "HU",
    ) -> None:
        self._values = [np.ma.MaskedArray(v) for v in values]
        self._planes = list(planes)
        height, width = values[0].shape
        self._info = MediaInfo(
            Path("given"),
            MediaKind.DICOM,
            width,
            height,
            len(self._values),
            unit=unit,
            has_values=True,
        )

    def modality_values(self, index: int = 0) -> np.ma.MaskedArray:
        return self._values[index]

    def stored_values(self, index: int = 0) -> np.ndarray:
        return self._values[index].filled(0)

    def auto_window(self) -> Window:
        return Window(0, 100)

    def is_inverted(self, index: int = 0) -> bool:
        return False

    def spacing(self, index: int = 0) -> PixelSpacing | None:
        plane = self._planes[index]
        return None if plane is None else PixelSpacing(*plane.spacing, "given")

    def geometry(self, index: int = 0) -> PlaneGeometry | None:
        return self._planes[index]


def rotation(angles: Sequence[float]) -> np.ndarray:
    """(3, 3), turned about x, y and z by degrees."""
    found = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        found = turn @ found
    return found


_ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
_SPACINGS = st.tuples(*[st.floats(0.3, 6.0)] * 3)


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Voxel (i, j, k, 1) to mm: any turn, any spacing, axes flipped or swapped."""
    found = np.eye(4)
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    spacings = draw(_SPACINGS)
    turned = rotation(draw(_ANGLES)) if draw(st.booleans()) else np.eye(3)
    for column in range(3):
        found[:3, column] = turned[:, order[column]] * signs[column] * spacings[column]
    found[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return found


def plane_of(affine: np.ndarray, k: int) -> PlaneGeometry:
    """The plane of slice k, rows along i, columns of pixels along j."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    row, column = affine[:3, 0] / sizes[0], affine[:3, 1] / sizes[1]
    where = affine[:3, 3] + k * affine[:3, 2]
    return PlaneGeometry(
        tuple(map(float, where)),  # type: ignore[arg-type]
        tuple(map(float, row)),  # type: ignore[arg-type]
        tuple(map(float, column)),  # type: ignore[arg-type]
        (float(sizes[1]), float(sizes[0])),
        "1.2.3",
    )


def grid_points(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(k, j, i, 3) in mm for a shape (k, j, i)."""
    k, j, i = np.indices(shape)
    voxels = np.stack([i, j, k, np.ones(shape)], axis=-1)
    found: np.ndarray = (voxels @ affine.T)[..., :3]
    return found


def linear_source(affine: np.ndarray, shape: tuple[int, int, int]) -> PlanesSource:
    """A stack (k, j, i) whose values are `linear` of their place."""
    values = linear(grid_points(affine, shape)).astype(np.float32)
    return PlanesSource(list(values), [plane_of(affine, k) for k in range(shape[0])])


def linear_within(volume: Volume, points: np.ndarray) -> np.ndarray:
    """`linear` at (h, w, 3), at the middle of the outermost voxels for what lies beyond it."""
    found = np.empty(points.shape[:2])
    most = np.array(volume.sizes) - 1
    for place in np.ndindex(*points.shape[:2]):
        voxel = np.clip(volume.to_voxel(points[place]), 0, most)
        found[place] = linear(volume.to_patient(voxel))
    return found


def places(plane: PlaneGeometry, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w, 3): the middle of every pixel in mm."""
    return np.array(
        [[to_patient(plane, x + 0.5, y + 0.5) for x in range(shape[1])] for y in range(shape[0])]
    )
