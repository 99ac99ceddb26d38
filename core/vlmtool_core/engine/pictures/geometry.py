"""Boxes as arrays: intersection over union, suppression, clipping, and back to the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_core.engine.pictures.preprocessing import scale_to_source
from vlmtool_core.records import Box, Frame

if TYPE_CHECKING:
    import numpy as np


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one xyxy box (4,) with others (n, 4); float (n,)."""
    import numpy as np

    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return common / np.maximum(area + areas - common, 1e-9)


def suppress(boxes: np.ndarray, scores: np.ndarray, limit: float) -> np.ndarray:
    """Non-maximum suppression: indices kept, best first; overlaps of `limit` and more go."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        kept.append(order[0])
        order = order[1:][overlap(boxes[order[0]], boxes[order[1:]]) < limit]
    return np.array(kept, dtype=int)


def source_box(xyxy: np.ndarray, label: str, score: float | None, frame: Frame) -> Box | None:
    """A box in pixels of `frame.pixels` as a box in the oriented source, clipped to it.

    None when nothing of it is inside the picture.
    """
    sx, sy = scale_to_source(frame)
    width, height = frame.size
    x1, x2 = (min(max(float(v) * sx, 0.0), float(width)) for v in (xyxy[0], xyxy[2]))
    y1, y2 = (min(max(float(v) * sy, 0.0), float(height)) for v in (xyxy[1], xyxy[3]))
    if not (x2 > x1 and y2 > y1):
        return None
    return Box(x1, y1, x2, y2, label, score)
