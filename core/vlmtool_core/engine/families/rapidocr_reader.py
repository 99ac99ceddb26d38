"""Printed text through rapidocr (PP-OCR on onnxruntime): lines in reading order, text regions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.geometry import source_box
from vlmtool_core.engine.packs import Pack
from vlmtool_core.engine.preprocessing import scale_to_source
from vlmtool_core.engine.reading_order import reading_rows
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.records import Frame, Json, Label, Outcome, OutcomeStatus, Task, TextLine

_MAX_SIDE = 2000
_DETECT_THRESHOLD = 0.5
# The detector enlarges the shorter side to 736 pixels: a strip one pixel high would become
# hundreds of megapixels, so strips are padded to at most this ratio of their sides.
_MOST_SLENDER = 6


def _compact(pixels: np.ndarray) -> np.ndarray:
    """The picture, padded below or to the right where it is a strip."""
    height, width = pixels.shape[:2]
    least = -(-max(height, width) // _MOST_SLENDER)
    below, right = max(0, least - height), max(0, least - width)
    if not below and not right:
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")


@register_family("rapidocr")
class RapidOcrReader(Family):
    """PP-OCR detection, direction and recognition."""

    tasks = (Task.READ, Task.DETECT)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._reader = RapidOCR(
            params={"Global.log_level": "error", "Global.max_side_len": _MAX_SIDE}
        )

    def read(self, frames: Sequence[Frame]) -> list[Outcome]:
        return [self._read_one(frame) for frame in frames]

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Regions of text, under the first label given (`text` when there is none)."""
        name = labels[0].name if labels else "text"
        limit = _DETECT_THRESHOLD if threshold is None else threshold
        return [self._regions(frame, name, limit) for frame in frames]

    def _regions(self, frame: Frame, name: str, limit: float) -> Outcome:
        found = self._call(frame, recognise=False)
        boxes = []
        scores = found.scores if found.boxes is not None else ()
        for quad, score in zip(found.boxes if found.boxes is not None else (), scores, strict=True):
            xyxy = np.concatenate([quad.min(axis=0), quad.max(axis=0)])
            box = source_box(xyxy, name, float(score), frame)
            if box is not None and float(score) >= limit:
                boxes.append(box)
        return boxes_outcome(boxes, self._provenance())

    def _read_one(self, frame: Frame) -> Outcome:
        found = self._call(frame, recognise=True)
        if found.boxes is None or not len(found.boxes):
            return Outcome(OutcomeStatus.EMPTY, provenance=self._provenance())
        sx, sy = scale_to_source(frame)
        quads = np.clip(np.asarray(found.boxes, dtype=float) * (sx, sy), 0, frame.size)
        rects = [(*quad.min(axis=0), *quad.max(axis=0)) for quad in quads]
        rows = reading_rows(rects)
        lines = tuple(
            TextLine(
                found.txts[n],
                tuple((float(x), float(y)) for x, y in quads[n]),
                float(found.scores[n]),
            )
            for row in rows
            for n in row
        )
        text = "\n".join(" ".join(found.txts[n] for n in row) for row in rows)
        return Outcome(OutcomeStatus.OK, text=text, lines=lines, provenance=self._provenance())

    def _call(self, frame: Frame, *, recognise: bool) -> Any:
        blue_first = np.ascontiguousarray(_compact(frame.pixels)[:, :, ::-1])
        return self._reader(blue_first, use_det=True, use_cls=recognise, use_rec=recognise)

    def _provenance(self) -> dict[str, Json]:
        return {"longest_side": _MAX_SIDE}
