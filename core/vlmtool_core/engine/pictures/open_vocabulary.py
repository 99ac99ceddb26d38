"""Maps of evidence to boxes: what a closed-set network, run over a whole picture, says of a label.

Coarse by nature: a cell of the map stands for 32 × 32 pixels of a resized picture, so small,
thin or crowded things come out as one box or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.engine.pictures.geometry import overlap

if TYPE_CHECKING:
    import numpy as np

STRIDE = 32
# Longer sides of the picture at which the network looks, in pixels: whole things, then smaller.
SCALES = (352, 544, 832)
# A box ends where the evidence falls to this part of its peak.
_EDGE = 0.6
# The map is enlarged so that boxes end between cells.
_FINER = 4
_SAME_THING = 0.3
_INSIDE = 0.5


@dataclass(frozen=True, slots=True)
class Region:
    """A found region: `xyxy` as parts of the picture's width and height (0 to 1), its evidence
    at the peak, and the index of its label."""

    xyxy: tuple[float, float, float, float]
    evidence: float
    label: int


def grid_size(width: int, height: int, longer: int) -> tuple[int, int]:
    """Size to resize to: the longer side near `longer`, both multiples of 32."""
    factor = longer / max(width, height)
    columns, rows = (max(1, round(side * factor / STRIDE)) for side in (width, height))
    return columns * STRIDE, rows * STRIDE


def regions(maps: np.ndarray, least: float) -> list[Region]:
    """Connected regions of evidence in one scale's maps.

    Parameters
    ----------
    maps : float (rows, columns, k), the evidence for each of k labels
    least : evidence that a region's peak must reach
    """
    return [
        region
        for label in range(maps.shape[2])
        if float(maps[..., label].max()) >= least
        for region in _label_regions(maps[..., label], least, label)
    ]


def _label_regions(evidence: np.ndarray, least: float, label: int) -> list[Region]:
    import cv2
    import numpy as np

    rows, columns = evidence.shape
    fine = cv2.resize(
        np.ascontiguousarray(evidence, dtype=np.float32),
        (columns * _FINER, rows * _FINER),
        interpolation=cv2.INTER_LINEAR,
    )
    found = []
    remaining = fine.copy()
    around = cv2.dilate(fine, np.ones((2 * _FINER + 1, 2 * _FINER + 1), np.uint8))
    while (peak := float(remaining.max())) >= least:
        mask = (remaining >= max(_EDGE * peak, _EDGE * least)).astype(np.uint8)
        _, marks, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        at = np.unravel_index(int(remaining.argmax()), remaining.shape)
        mark = marks[at]
        # What is left at the rim of a region taken before has no peak of its own.
        if fine[at] >= around[at]:
            x, y, w, h = (int(v) for v in stats[mark][:4])
            box = (x / fine.shape[1], y / fine.shape[0])
            end = ((x + w) / fine.shape[1], (y + h) / fine.shape[0])
            found.append(Region((*box, *end), peak, label))
        remaining[marks == mark] = -np.inf
    return found


def merge(found: list[Region]) -> list[Region]:
    """One region per thing: of overlapping ones of a label, the clearer and larger stays."""
    import numpy as np

    kept: list[Region] = []
    # Evidence is rounded, so that a part of a thing does not beat the whole by a hair.
    for region in sorted(found, key=lambda r: (-round(r.evidence, 0), -_area(r))):
        same = np.array([other.xyxy for other in kept if other.label == region.label])
        if len(same):
            box = np.array(region.xyxy)
            if overlap(box, same).max() >= _SAME_THING or _inside(box, same) >= _INSIDE:
                continue
        kept.append(region)
    return kept


def _area(region: Region) -> float:
    x1, y1, x2, y2 = region.xyxy
    return (x2 - x1) * (y2 - y1)


def _inside(box: np.ndarray, others: np.ndarray) -> float:
    """The largest part of the smaller box of each pair that both share."""
    import numpy as np

    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    smaller = np.minimum(areas, (box[2] - box[0]) * (box[3] - box[1]))
    shared = np.maximum(width, 0) * np.maximum(height, 0) / np.maximum(smaller, 1e-12)
    return float(shared.max())
