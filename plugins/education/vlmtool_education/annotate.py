"""Draws on a copy of the photograph what was read, in colours that colour-blind people tell apart.

Shapes carry the meaning as well: a thick outline with a tick is a right answer, with a cross a
wrong one, a dashed frame with a question mark is for a person to look at, and a thin square is
the bubble that the key expects.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_core.api import write_atomically
from vlmtool_education.grading import Answer, GradedSheet
from vlmtool_education.keys import Key
from vlmtool_education.marks import plain
from vlmtool_education.sheets import SheetReading

# Okabe and Ito's palette, RGB.
RIGHT, WRONG, REVIEW, READ = (0, 114, 178), (213, 94, 0), (204, 121, 167), (0, 0, 0)
LONGEST_SIDE = 2000  # px of the annotated picture

Picture = NDArray[np.uint8]


def write_annotated(
    path: Path, photo: Picture, reading: SheetReading, graded: GradedSheet, key: Key | None
) -> None:
    """Write a JPEG of the photograph, uint8 (h, w, 3) RGB, with what was read drawn over it."""
    scale = min(1.0, LONGEST_SIDE / max(photo.shape[:2]))
    canvas = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.ascontiguousarray(canvas, np.uint8)
    _page(picture, reading, scale)
    for answer in graded.answers:
        _answer(picture, reading, answer, key, scale)
    _caption(picture, graded, key)
    ok, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not ok:
        raise ValueError(f"the annotated picture {path.name} cannot be coded")
    write_atomically(path, data.tobytes())


def _page(picture: Picture, reading: SheetReading, scale: float) -> None:
    outline = np.round(reading.placement.quad * scale).astype(np.int32)
    cv2.polylines(picture, [outline], True, READ, 1, cv2.LINE_AA)


def _answer(
    picture: Picture, reading: SheetReading, answer: Answer, key: Key | None, scale: float
) -> None:
    colour = READ
    if answer.verdict is not None:
        colour = RIGHT if answer.verdict.outcome == "correct" else WRONG
    for name in answer.fields:
        field = reading.fields[name]
        outlines = reading.outlines(name) * scale
        for corners, marked in zip(outlines, field.marked, strict=True):
            if marked:
                _marked(picture, corners, colour, answer)
        if answer.review:
            _dashed(picture, outlines.reshape(-1, 2), REVIEW)
    question = key.questions.get(answer.name) if key else None
    if question is not None and len(answer.fields) == 1:
        field = reading.fields[answer.fields[0]]
        for corners, value in zip(
            reading.outlines(answer.fields[0]) * scale, field.field.values, strict=True
        ):
            if value in question.answers:
                points = np.round(corners).astype(np.int32)
                cv2.polylines(picture, [points], True, RIGHT, 1, cv2.LINE_AA)


def _marked(
    picture: Picture, corners: NDArray[np.float64], colour: tuple[int, int, int], answer: Answer
) -> None:
    centre = corners.mean(axis=0)
    side = float(np.hypot(*(corners[1] - corners[0])))
    thickness = max(1, round(side / 10))
    cv2.circle(picture, _at(centre), max(3, round(0.62 * side)), colour, thickness + 1, cv2.LINE_AA)
    if answer.verdict is None:
        return
    origin, step = centre + np.array([0.75 * side, 0.0]), 0.3 * side
    if answer.verdict.outcome == "correct":
        strokes = [((-1.0, 0.0), (-0.3, 0.8)), ((-0.3, 0.8), (1.0, -1.0))]
    else:
        strokes = [((-0.8, -0.8), (0.8, 0.8)), ((-0.8, 0.8), (0.8, -0.8))]
    for start, end in strokes:
        first, second = origin + step * np.array(start), origin + step * np.array(end)
        cv2.line(picture, _at(first), _at(second), colour, thickness + 1, cv2.LINE_AA)


def _dashed(picture: Picture, points: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    frame = cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32)))
    dash = 8.0
    for index in range(4):
        start, end = frame[index], frame[(index + 1) % 4]
        length = float(np.hypot(*(end - start)))
        for at in np.arange(0, length, 2 * dash):
            first = start + (end - start) * (at / length)
            second = start + (end - start) * (min(at + dash, length) / length)
            cv2.line(picture, _at(first), _at(second), colour, 2, cv2.LINE_AA)
    size = max(0.5, float(np.hypot(*(points[1] - points[0]))) / 30)
    corner = frame[np.argmin(frame.sum(axis=1))] - np.array([14 * size, 0])
    cv2.putText(picture, "?", _at(corner), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 2, cv2.LINE_AA)


def _caption(picture: Picture, graded: GradedSheet, key: Key | None) -> None:
    text = f"{len(graded.to_review)} to review"
    if key is not None and graded.total is not None:
        state = "provisional" if graded.to_review else "suggested"
        text = f"{plain(graded.total)} / {plain(key.maximum)} ({state}), {text}"
    size = max(0.6, picture.shape[1] / 1400)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 2)
    cv2.rectangle(picture, (0, 0), (width + 20, height + 22), (255, 255, 255), -1)
    cv2.putText(
        picture, text, (10, height + 10), cv2.FONT_HERSHEY_SIMPLEX, size, READ, 2, cv2.LINE_AA
    )


def _at(point: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.clip(np.round(point), -32000, 32000)
    return int(x), int(y)
