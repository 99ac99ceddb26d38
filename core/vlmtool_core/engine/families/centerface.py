"""CenterFace on onnxruntime: a heatmap of face centres with sizes, decoded to boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnxruntime

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.pictures.geometry import source_box, suppress
from vlmtool_core.engine.pictures.preprocessing import resize
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.records import Frame, Label, Outcome, Task

_STRIDE = 4
_MULTIPLE = 32
_LONGEST_SIDE = 1280
_THRESHOLD = 0.4
_SAME_FACE = 0.3
# Below this score a place is not worth decoding, whatever the caller's threshold is.
_FLOOR = 0.05


@register_family("centerface")
class CenterFace(Family):
    """Face boxes in pictures of any size."""

    tasks = (Task.DETECT,)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # the file lists initialisers as inputs, once per start
        # Threads that wait must not keep a core busy that others need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(pack.file("centerface.onnx")), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Faces, under the first label given (`face` when there is none)."""
        name = labels[0].name if labels else "face"
        limit = _THRESHOLD if threshold is None else max(threshold, _FLOOR)
        return [self._detect_one(frame, name, limit) for frame in frames]

    def _detect_one(self, frame: Frame, name: str, limit: float) -> Outcome:
        padded, scale = _padded(frame.pixels)
        tensor = padded.astype(np.float32).transpose(2, 0, 1)[None]
        heat, sizes, offsets, _ = self._session.run(None, {self._input: tensor})
        boxes, scores = decode(heat[0, 0], sizes[0], offsets[0], limit)
        found = [
            source_box(boxes[n] / scale, name, float(scores[n]), frame)
            for n in suppress(boxes, scores, _SAME_FACE)
        ]
        provenance = {
            "input": [padded.shape[1], padded.shape[0]],
            "scale": [round(float(value), 6) for value in scale[:2]],
            "threshold": limit,
        }
        return boxes_outcome([box for box in found if box is not None], provenance)


def _padded(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture at most `_LONGEST_SIDE` long, padded right and below to multiples of 32.

    Returns uint8 (h, w, 3) and the scale (sx, sy, sx, sy) from the picture to it.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, _LONGEST_SIDE / max(height, width))
    new_width, new_height = max(1, round(width * factor)), max(1, round(height * factor))
    if factor < 1:
        pixels = resize(pixels, (new_width, new_height), "bilinear")
    canvas_height, canvas_width = (
        math.ceil(side / _MULTIPLE) * _MULTIPLE for side in (new_height, new_width)
    )
    canvas = np.zeros((canvas_height, canvas_width, 3), np.uint8)
    canvas[:new_height, :new_width] = pixels
    return canvas, np.array([new_width / width, new_height / height] * 2)


def decode(
    heat: np.ndarray, sizes: np.ndarray, offsets: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes xyxy in input pixels, float (n, 4), and scores (n,).

    Parameters
    ----------
    heat : (h, w) scores of face centres; one place per 4 × 4 pixels
    sizes : (2, h, w) log of height and width, in places
    offsets : (2, h, w) of the centre within its place, y and x
    """
    rows, columns = np.nonzero(heat >= limit)
    heights, widths = np.exp(sizes[:, rows, columns]) * _STRIDE
    centre_y = (rows + offsets[0, rows, columns] + 0.5) * _STRIDE
    centre_x = (columns + offsets[1, rows, columns] + 0.5) * _STRIDE
    boxes = np.stack(
        [
            centre_x - widths / 2,
            centre_y - heights / 2,
            centre_x + widths / 2,
            centre_y + heights / 2,
        ],
        axis=1,
    )
    return boxes, heat[rows, columns]
