"""Printed text through rapidocr (PP-OCR on onnxruntime): lines in reading order, text regions.

Lines are looked for in a picture of bounded size and read from the full one.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.pictures.geometry import source_box
from vlmtool_core.engine.pictures.preprocessing import scale_to_source
from vlmtool_core.engine.pictures.reading_order import reading_rows
from vlmtool_core.engine.pictures.text_lines import Reading, text_lines
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.records import Frame, Json, Label, Outcome, OutcomeStatus, Task, TextLine

_DETECT_THRESHOLD = 0.5
# Pixels in which lines are looked for: small pictures are enlarged, at most to twice their size,
# so that small print is found; large ones are reduced. The time grows with the pixels.
_LEAST_PIXELS, _MOST_PIXELS = 360_000, 1_600_000
_MOST_ENLARGED = 2.0
# The detector enlarges a shorter side of less than 32 pixels: a strip one pixel high would
# become huge, so strips are padded to at most this ratio of their sides.
_MOST_SLENDER = 6
# Lines that are read worse than this are read upside down too.
_UPRIGHT = 0.8


def _compact(pixels: np.ndarray) -> np.ndarray:
    """The picture, padded below or to the right where it is a strip."""
    height, width = pixels.shape[:2]
    least = -(-max(height, width) // _MOST_SLENDER)
    below, right = max(0, least - height), max(0, least - width)
    if not below and not right:
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")


def search_scale(width: int, height: int) -> float:
    """The factor by which a picture is resized to look for lines in it."""
    pixels = width * height
    if pixels < _LEAST_PIXELS:
        return min(_MOST_ENLARGED, math.sqrt(_LEAST_PIXELS / pixels))
    return min(1.0, math.sqrt(_MOST_PIXELS / pixels))


@dataclass(frozen=True, slots=True)
class _Regions:
    """What was found in one frame.

    quads : float32 (n, 4, 2) in pixels of the frame; scores : of the detector
    crops : uint8 (h, w, 3), blue first, one per region; only where they were asked for
    """

    quads: np.ndarray
    scores: Sequence[float] = ()
    crops: Sequence[np.ndarray] = ()


@register_family("rapidocr")
class RapidOcrReader(Family):
    """PP-OCR detection and recognition."""

    tasks = (Task.READ, Task.DETECT)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._reader = RapidOCR(
            params={
                "Global.log_level": "error",
                # The picture comes in the right size.
                "Global.max_side_len": 1_000_000,
                "Det.limit_type": "min",
                "Det.limit_side_len": 32,
                "EngineConfig.onnxruntime.intra_op_num_threads": os.cpu_count() or -1,
            }
        )

    def read(self, frames: Sequence[Frame]) -> list[Outcome]:
        found = [self._find(frame, crop=True) for frame in frames]
        read = iter(self._recognise([crop for regions in found for crop in regions.crops]))
        return [
            self._outcome(frame, regions.quads, [next(read) for _ in regions.crops])
            for frame, regions in zip(frames, found, strict=True)
        ]

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
        return [self._boxes(frame, name, limit) for frame in frames]

    def find_lines(self, frame: Frame) -> np.ndarray:
        """Where lines of text are, unread: float32 (n, 4, 2), in pixels of `frame.pixels`, each
        clockwise from the top-left corner of the text."""
        return self._find(frame, crop=False).quads

    def _boxes(self, frame: Frame, name: str, limit: float) -> Outcome:
        found = self._find(frame, crop=False)
        boxes = []
        for quad, score in zip(found.quads, found.scores, strict=True):
            xyxy = np.concatenate([quad.min(axis=0), quad.max(axis=0)])
            box = source_box(xyxy, name, float(score), frame)
            if box is not None and float(score) >= limit:
                boxes.append(box)
        return boxes_outcome(boxes, _provenance(frame))

    def _find(self, frame: Frame, *, crop: bool) -> _Regions:
        whole = np.ascontiguousarray(_compact(frame.pixels)[:, :, ::-1])
        height, width = whole.shape[:2]
        factor = search_scale(width, height)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        searched = whole if factor == 1 else cv2.resize(whole, size, interpolation=method)
        found: Any = self._reader(searched, use_det=True, use_cls=False, use_rec=False)
        if found.boxes is None or not len(found.boxes):
            return _Regions(np.empty((0, 4, 2), np.float32))
        quads = np.asarray(found.boxes, np.float32)
        scale = np.array([size[0] / width, size[1] / height], np.float32)
        crops: Sequence[np.ndarray] = ()
        if crop:
            # The sharper of the two: enlarged, the corners are finer than whole pixels.
            enlarged = factor >= 1
            crops = self._reader.crop_text_regions(
                searched if enlarged else whole, quads if enlarged else quads / scale
            )
        return _Regions(quads / scale, found.scores, crops)

    def _recognise(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """Text and score of each crop, turned by half where that reads better."""
        upright = self._recognise_as_they_are(crops)
        poor = [n for n, (_, score) in enumerate(upright) if score < _UPRIGHT]
        turned = self._recognise_as_they_are([np.rot90(crops[n], 2) for n in poor])
        for n, other in zip(poor, turned, strict=True):
            upright[n] = max(upright[n], other, key=lambda read: read[1])
        return upright

    def _recognise_as_they_are(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        if not crops:
            return []
        result: Any = self._reader.recognize_txt(list(crops))
        return [(t, float(s)) for t, s in zip(result.txts, result.scores, strict=True)]

    def _outcome(
        self, frame: Frame, quads: np.ndarray, read: Sequence[tuple[str, float]]
    ) -> Outcome:
        quads = np.clip(quads.astype(float) * scale_to_source(frame), 0, frame.size)
        heights = np.ptp(quads[:, :, 1], axis=1) / frame.size[1]
        kept = text_lines(
            [Reading(t, s, float(h)) for (t, s), h in zip(read, heights, strict=True)]
        )
        if not kept:
            return Outcome(OutcomeStatus.EMPTY, provenance=_provenance(frame))
        rows = reading_rows([(*quads[n].min(axis=0), *quads[n].max(axis=0)) for n in kept])
        ordered = [[kept[n] for n in row] for row in rows]
        lines = tuple(
            TextLine(read[n][0], tuple((float(x), float(y)) for x, y in quads[n]), read[n][1])
            for row in ordered
            for n in row
        )
        text = "\n".join(" ".join(read[n][0] for n in row) for row in ordered)
        return Outcome(OutcomeStatus.OK, text=text, lines=lines, provenance=_provenance(frame))


def _provenance(frame: Frame) -> dict[str, Json]:
    height, width = _compact(frame.pixels).shape[:2]
    return {"search_scale": round(search_scale(width, height), 4)}
