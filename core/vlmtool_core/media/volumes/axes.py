"""Which axis of a grid of voxels runs nearest to which axis of the patient, and how planes of
it are laid out on the screen.

Directions are LPS: x to the left, y to the back, z to the head of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

import numpy as np


class Plane(StrEnum):
    AXIAL = "axial"
    SAGITTAL = "sagittal"
    CORONAL = "coronal"


@dataclass(frozen=True, slots=True)
class Run:
    """One axis of the voxels (0, 1, 2 for i, j, k), forwards or backwards."""

    axis: int
    forward: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """How a plane is shown: what runs to the right, what downwards, and what is stepped."""

    right: Run
    down: Run
    step: Run


# Patient axis and its sense, for right, down and step: as radiology looks at the planes, from
# the feet, from the patient's left, and from the front.
_SHOWN = {
    Plane.AXIAL: ((0, 1), (1, 1), (2, 1)),
    Plane.SAGITTAL: ((1, 1), (2, -1), (0, 1)),
    Plane.CORONAL: ((0, 1), (2, -1), (1, 1)),
}


def nearest_axes(affine: np.ndarray) -> tuple[Run, Run, Run]:
    """For x, y and z of the patient, the voxel axis nearest to it and whether it has its sense.

    affine : (4, 4), voxel (i, j, k, 1) to LPS. Of all assignments, the one with the largest
        product of cosines.
    """
    columns = affine[:3, :3]
    cosines = columns / np.linalg.norm(columns, axis=0)
    best = max(
        permutations(range(3)),
        key=lambda order: float(np.prod([abs(cosines[axis, order[axis]]) for axis in range(3)])),
    )
    x, y, z = (Run(best[axis], bool(cosines[axis, best[axis]] >= 0)) for axis in range(3))
    return x, y, z


def layout(plane: Plane, affine: np.ndarray) -> Layout:
    """How a plane of the voxels, named by the plane of the patient nearest to it, is shown."""
    axes = nearest_axes(affine)
    right, down, step = (
        Run(axes[patient].axis, axes[patient].forward == (sense > 0))
        for patient, sense in _SHOWN[plane]
    )
    return Layout(right, down, step)


def position(layout: Layout, sizes: tuple[int, int, int], plane: int) -> np.ndarray:
    """Voxel indices (i, j, k) of the first pixel of plane number `plane`; sizes along i, j, k."""
    start = np.zeros(3)
    for run in (layout.right, layout.down):
        start[run.axis] = 0 if run.forward else sizes[run.axis] - 1
    step = layout.step
    start[step.axis] = plane if step.forward else sizes[step.axis] - 1 - plane
    return start
