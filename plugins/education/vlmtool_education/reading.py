"""Decides what each bubble of a straightened sheet says, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_education.fit import BlockFit, SheetFit
from vlmtool_education.template import Field, Template

Floats = NDArray[np.float64]

PRINT_LIMIT = 0.15  # darkness that printed letters or shading may add to a bubble
USUAL_MARK = 0.3  # darkness of a mark, on a sheet with too few of them to measure
LEAST_MARK = 0.15
SURELY_INK = 0.1
SEEN = 0.15  # likeness to the block's other bubbles from which a bubble counts as printed there
INNER = 0.68  # of a bubble's size: the part that is measured, clear of its outline


class State(StrEnum):
    """What a field is. Everything but `marked` is for a person to look at."""

    MARKED = "marked"
    BLANK = "blank"
    FAINT = "faint"
    MULTIPLE = "multiple"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Thresholds:
    """Shares of the sheet's usual mark: at `mark` a bubble counts as marked; between `faint` and
    `sure` a person is asked."""

    faint: float = 0.25
    mark: float = 0.45
    sure: float = 0.6


@dataclass(frozen=True)
class FieldReading:
    """fills : share of the sheet's usual mark per bubble (0 blank, 1 full), in template order;
    confidence : 0 (on the threshold) to 1."""

    field: Field
    text: str
    state: State
    confidence: float
    fills: tuple[float, ...]
    marked: tuple[bool, ...]


@dataclass(frozen=True)
class PageReading:
    """fields : by name; mark_level : darkness of the sheet's usual mark; missing : lines of
    bubbles (block and field or value) that are not printed where they should be."""

    fields: dict[str, FieldReading]
    mark_level: float
    missing: tuple[str, ...]


def read_page(
    dark: NDArray[np.float32],
    template: Template,
    fit: SheetFit,
    scale: float,
    thresholds: Thresholds,
) -> PageReading:
    """Read all fields; `dark` as from `geometry.darkness`, `fit` on the same pixels."""
    blocks = template.blocks()
    raw = {name: _measure(dark, fit.blocks[name], fields, scale) for name, fields in blocks.items()}
    paper = float(np.median([row.min() for values in raw.values() for row in values]))
    inks = {name: _ink(values, paper) for name, values in raw.items()}
    level = _mark_level(np.concatenate([ink.ravel() for ink in inks.values()]))
    readings: dict[str, FieldReading] = {}
    missing: list[str] = []
    for name, fields in blocks.items():
        fills, presence = inks[name] / level, fit.blocks[name].presence
        missing += _missing_lines(name, fields, fills, presence, thresholds)
        for row, field in enumerate(fields):
            seen = presence[row] > SEEN
            readings[field.name] = _decide(field, fills[row], seen, thresholds)
    return PageReading(readings, level, tuple(missing))


def _measure(
    dark: NDArray[np.float32], block: BlockFit, fields: list[Field], scale: float
) -> Floats:
    """Mean darkness (fields, values) of the inner part of each bubble."""
    width, height = (side * scale for side in fields[0].bubble_size)
    rx, ry = INNER * width / 2, INNER * height / 2
    reach_x, reach_y = int(np.ceil(rx)), int(np.ceil(ry))
    reach = max(reach_x, reach_y)
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    disc = ((x / rx) ** 2 + (y / ry) ** 2 <= 1).astype(np.float32)
    disc /= disc.sum()
    padded = cv2.copyMakeBorder(dark, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    values = np.zeros(block.centres.shape[:2])
    for row, line in enumerate(block.centres):
        for column, (cx, cy) in enumerate(line):
            middle = (float(cx + reach), float(cy + reach))
            patch = cv2.getRectSubPix(padded, (disc.shape[1], disc.shape[0]), middle)
            values[row, column] = float((patch * disc).sum())
    return values


def _ink(raw: Floats, paper: float) -> Floats:
    """Darkness that is not print: less the letter of each choice and the shading of each line.

    Both are bounded, so that a choice that everybody marks, or a line that is marked all over,
    is never taken for print.
    """
    left = raw
    if raw.shape[0] >= 3:
        letters = raw.min(axis=0)
        left = raw - np.minimum(letters - letters.min(), PRINT_LIMIT)
    count = raw.shape[1]
    shade = left.min(axis=1) if count < 4 else np.percentile(left, 25, axis=1)
    shade = np.clip(shade, 0.0, paper + PRINT_LIMIT)
    return np.asarray(left - shade[:, None], np.float64)


def _mark_level(ink: Floats) -> float:
    marks = ink[ink > SURELY_INK]
    if len(marks) < 3:
        return USUAL_MARK
    # Smudges must not pull the level down: the upper half of what is dark decides.
    strong = marks[marks >= 0.5 * np.percentile(marks, 90)]
    return max(LEAST_MARK, float(np.median(strong)))


def _decide(
    field: Field, fills: Floats, seen: NDArray[np.bool_], limits: Thresholds
) -> FieldReading:
    marked = fills >= limits.mark
    between = (fills >= limits.faint) & (fills < limits.sure)
    text = "".join(v for v, is_marked in zip(field.values, marked, strict=True) if is_marked)
    distance = np.where(
        marked,
        (fills - limits.mark) / max(1e-6, 1 - limits.mark),
        (limits.mark - fills) / limits.mark,
    )
    confidence = float(np.clip(distance, 0, 1).min())
    # A filled bubble hides its outline, so only open ones must be seen.
    lost = (~seen & (fills < limits.faint)).mean()
    if lost >= 0.5:
        state = State.UNCLEAR
    elif between.any():
        state = State.FAINT
    elif marked.sum() > 1:
        state = State.MULTIPLE
    else:
        state = State.MARKED if marked.any() else State.BLANK
    if state in (State.UNCLEAR, State.FAINT):
        confidence = min(confidence, 0.5)
    return FieldReading(
        field,
        text or field.empty_value,
        state,
        round(confidence, 3),
        tuple(round(float(f), 3) for f in fills),
        tuple(bool(m) for m in marked),
    )


def _missing_lines(
    name: str, fields: list[Field], fills: Floats, presence: NDArray[np.float32], limits: Thresholds
) -> list[str]:
    """Outer lines of a block where no bubble is printed: the sign of being one line off."""
    open_ = fills < limits.faint
    absent = open_ & (presence <= SEEN)
    missing = []
    rows, columns = fills.shape
    for index in {0, rows - 1} if rows > 2 else set():
        if open_[index].sum() >= 2 and absent[index].sum() > 0.7 * columns:
            missing.append(f"{name}, {fields[index].name}")
    for index in {0, columns - 1} if columns > 2 else set():
        if open_[:, index].sum() >= 2 and absent[:, index].sum() > 0.7 * rows:
            missing.append(f"{name}, choice {fields[0].values[index]}")
    return missing
