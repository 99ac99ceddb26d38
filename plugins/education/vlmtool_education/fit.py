"""Checks that printed bubbles lie where the template says, and by how much each block is off.

A template knows nothing of a sheet's print but where its bubbles are. Bubbles of a block look
alike, so the typical picture of one (the median over the block, which no mark can change) must
show an outline at the centre, and each bubble must resemble it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_education.template import Field, Template

Floats = NDArray[np.float32]

OUTLINE_SIZES = (0.7, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4)
CLEAR_CONTRAST = 0.05  # darkness of an outline against its surroundings that is surely print
CLEAR_LIKENESS = 0.4
WORTH_BENDING = 0.2  # below it, nothing is there to follow
LOCAL_SEARCH = 0.2  # of a bubble: how far single bubbles may be off their block
MAXIMUM_SEARCH = 0.45  # of the distance between two bubbles


@dataclass(frozen=True)
class BlockFit:
    """How a block of bubbles lies on the page.

    centres : float64 (fields, values, 2), where the bubbles really are, in straightened pixels
    shift : RMS distance from there to where the template has them, in straightened pixels
    outline : 0 to 1, how surely an outline of a bubble is at that place
    presence : float32 (fields, values), -1 to 1: how much each bubble looks like the others
    """

    centres: NDArray[np.float64]
    shift: float
    outline: float
    presence: Floats


@dataclass(frozen=True)
class SheetFit:
    """How a whole sheet fits its template.

    score : 0 (no bubbles where the template has them) to 1, over all blocks
    weakest : the same of the block that fits worst, and `weakest_block` its name
    residual : RMS distance of the bubbles from the template, in template pixels
    """

    score: float
    weakest: float
    weakest_block: str
    residual: float
    blocks: dict[str, BlockFit]


def sheet_fit(dark: Floats, template: Template, scale: float) -> SheetFit:
    """Fit every block of the template on a straightened page; `dark` as from `darkness`."""
    blocks = {name: _block_fit(dark, fields, scale) for name, fields in template.blocks().items()}
    weights = np.array([b.presence.size for b in blocks.values()], np.float64)
    scores = [b.outline * float((b.presence > 0.3).mean()) for b in blocks.values()]
    shifts = np.array([b.shift for b in blocks.values()]) / scale
    total = weights.sum()
    weakest = int(np.argmin(scores))
    return SheetFit(
        float((np.array(scores) * weights).sum() / total),
        scores[weakest],
        list(blocks)[weakest],
        float(np.sqrt((shifts**2 * weights).sum() / total)),
        blocks,
    )


def _block_fit(dark: Floats, fields: list[Field], scale: float) -> BlockFit:
    centres = np.array([field.centres for field in fields]).reshape(-1, 2) * scale - 0.5
    width, height = (side * scale for side in fields[0].bubble_size)
    search = _search_reach(fields, scale)
    half = int(np.ceil(0.75 * max(width, height)))
    patches = _patches(dark, centres, half + search)
    typical = np.median(patches, axis=0)
    best = (-1.0, 0.0, 0.0)
    for model in _outlines(round(width, 1), round(height, 1), half):
        best = max(best, _place(typical, model, search))
    score, dx, dy = best
    column, row = round(dx) + search, round(dy) + search
    side = 2 * half + 1
    typical_here = typical[row : row + side, column : column + side]
    contrast = float(np.percentile(typical_here, 90) - np.percentile(typical_here, 10))
    sure = max(0.0, score) * min(1.0, contrast / CLEAR_CONTRAST)
    found = centres + np.array([round(dx), round(dy)])
    if sure > WORTH_BENDING:
        reach = max(2, round(LOCAL_SEARCH * min(width, height)))
        found = found + _bend(dark, found, typical_here, reach)
    presence = _resemblance(_patches(dark, found, half), typical_here)
    moved = float(np.sqrt(((found - centres) ** 2).sum(axis=1).mean()))
    count = len(fields)
    return BlockFit(found.reshape(count, -1, 2), moved, sure, presence.reshape(count, -1))


def _bend(
    dark: Floats, centres: NDArray[np.float64], typical: Floats, reach: int
) -> NDArray[np.float64]:
    """Shift (n, 2) of each bubble, as an affine change over the block: paper bends and turns."""
    if len(centres) < 6:
        return np.zeros_like(centres)
    patches = _patches(dark, centres, typical.shape[0] // 2 + reach)
    shifts, scores = np.zeros_like(centres), np.zeros(len(centres))
    for index, patch in enumerate(patches):
        scores[index], *shifts[index] = _place(patch, typical, reach)
    terms = np.column_stack([np.ones(len(centres)), centres - centres.mean(axis=0)])
    weights = np.where(scores > CLEAR_LIKENESS, scores, 0.0)
    bend = np.zeros_like(centres)
    for _ in range(3):
        if (weights > 0).sum() < 6:
            return np.zeros_like(centres)
        solution, *_ = np.linalg.lstsq(terms * weights[:, None], shifts * weights[:, None], 1e-4)
        bend = terms @ solution
        off = np.hypot(*(shifts - bend).T)
        weights = np.where(off <= max(1.5, 2 * float(np.median(off))), weights, 0.0)
    return np.clip(bend, -2 * reach, 2 * reach)


def _search_reach(fields: list[Field], scale: float) -> int:
    """How far the print may be off: less than half way to the next bubble."""
    steps = [max(fields[0].bubble_size)]
    first = np.array(fields[0].centres)
    if len(first) > 1:
        steps.append(float(np.hypot(*(first[1] - first[0]))))
    if len(fields) > 1:
        steps.append(float(np.hypot(*(np.array(fields[1].centres[0]) - first[0]))))
    return max(2, int(MAXIMUM_SEARCH * min(steps) * scale))


def _patches(dark: Floats, centres: NDArray[np.float64], reach: int) -> Floats:
    """Square cut-outs (n, 2 reach + 1, 2 reach + 1) around centres; what is outside is paper."""
    height, width = dark.shape
    columns = np.clip(np.round(centres[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.round(centres[:, 1]).astype(int), 0, height - 1)
    left, top = columns.min() - reach, rows.min() - reach
    right, bottom = columns.max() + reach + 1, rows.max() + reach + 1
    region = cv2.copyMakeBorder(
        dark[max(0, top) : bottom, max(0, left) : right],
        max(0, -top),
        max(0, bottom - height),
        max(0, -left),
        max(0, right - width),
        cv2.BORDER_CONSTANT,
        value=0,
    )
    side = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(region, (side, side))
    return np.asarray(windows[rows - reach - top, columns - reach - left], np.float32)


@lru_cache(maxsize=64)
def _outlines(width: float, height: float, half: int) -> tuple[Floats, ...]:
    """Outlines of ellipses and boxes of several sizes, blurred as a camera does."""
    models = []
    factor = 4
    side = (2 * half + 1) * factor
    middle = side / 2
    for size in OUTLINE_SIZES:
        rx, ry = size * width / 2 * factor, size * height / 2 * factor
        if max(rx, ry) > middle - factor:
            continue
        for round_ in (True, False):
            model = np.zeros((side, side), np.float32)
            thickness = max(factor, round(0.1 * min(rx, ry)))
            centre = (round(middle), round(middle))
            if round_:
                axes = (round(rx), round(ry))
                cv2.ellipse(model, centre, axes, 0, 0, 360, 1.0, thickness)
            else:
                low = (round(middle - rx), round(middle - ry))
                high = (round(middle + rx), round(middle + ry))
                cv2.rectangle(model, low, high, 1.0, thickness)
            blurred = cv2.GaussianBlur(model, (0, 0), 1.2 * factor)
            small = cv2.resize(
                blurred, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA
            )
            models.append(np.asarray(small, np.float32))
    return tuple(models)


def _place(typical: Floats, model: Floats, search: int) -> tuple[float, float, float]:
    """(correlation, x, y) where the outline lies best; x and y are shifts from the middle."""
    scores = cv2.matchTemplate(typical, model, cv2.TM_CCOEFF_NORMED)
    scores = np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0)
    _, score, _, (x, y) = cv2.minMaxLoc(scores)
    return float(score), float(x - search), float(y - search)


def _resemblance(patches: Floats, typical: Floats) -> Floats:
    """Correlation (n,) of each patch with the typical one."""
    flat = patches.reshape(len(patches), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    model = (typical - typical.mean()).ravel()
    norm = np.linalg.norm(flat, axis=1) * np.linalg.norm(model)
    # A patch of plain paper has next to no contrast; its noise must not count as likeness.
    norm = np.maximum(norm, 0.01 * model.size**0.5 * float(np.linalg.norm(model)) + 1e-9)
    return np.asarray(flat @ model / norm, np.float32)
