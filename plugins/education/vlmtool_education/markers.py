"""Finds the four printed corner markers of a sheet by normalised cross-correlation over scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_core.api import FormatError
from vlmtool_education.pages import Grey, Quad
from vlmtool_education.template import Marker

SCALES = np.geomspace(0.5, 1.6, 12)  # of the size that the template names
SCORE_SPREAD = 0.41  # a marker that matches this much worse than the best is not believed
SEARCH_WIDTH = 480  # px


@dataclass(frozen=True)
class MarkerMatch:
    """Corners from markers: `found` says which were seen (top left, clockwise).

    scores : correlation of each, -1 to 1
    """

    quad: Quad
    scores: tuple[float, float, float, float]
    found: tuple[bool, bool, bool, bool]


def load_marker(marker: Marker) -> Grey:
    """The marker's picture as uint8 (h, w).

    Raises
    ------
    FormatError : it is no picture, or one without any contrast.
    """
    data = np.frombuffer(marker.path.read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if picture is None or float(picture.std()) < 5 or min(picture.shape) < 8:
        raise FormatError("is no usable picture of a marker", path=marker.path)
    return np.asarray(picture, np.uint8)


def find_markers(sheet: Grey, picture: Grey, marker: Marker) -> MarkerMatch | None:
    """The centres of the markers in an upright sheet; None when fewer than three are there.

    sheet : uint8 (h, w), the page straightened, or the whole photograph
    """
    shrink = min(1.0, SEARCH_WIDTH / sheet.shape[1])
    small = cv2.resize(sheet, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    size = small.shape[1] / marker.width_ratio
    best: tuple[float, list[tuple[float, float, float]]] | None = None
    for scale in SCALES:
        matches = _match_quadrants(np.asarray(small, np.uint8), picture, size * scale)
        if matches is None:
            continue
        # The three best decide: one marker may be covered, and must not choose the scale.
        total = sum(sorted((m[0] for m in matches), reverse=True)[:3])
        if best is None or total > best[0]:
            best = (total, matches)
    if best is None:
        return None
    return _judge(best[1], marker, shrink)


def _match_quadrants(
    small: Grey, picture: Grey, side: float
) -> list[tuple[float, float, float]] | None:
    """(score, x, y) of the best match in each quadrant, clockwise from the top left."""
    width = max(6, round(side))
    height = max(6, round(side * picture.shape[0] / picture.shape[1]))
    rows, columns = small.shape
    if 2 * height > rows or 2 * width > columns:
        return None
    model = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    matches = []
    for right, lower in ((0, 0), (1, 0), (1, 1), (0, 1)):
        x0, y0 = right * (columns // 2), lower * (rows // 2)
        part = small[y0 : y0 + rows // 2 + 1, x0 : x0 + columns // 2 + 1]
        scores = cv2.matchTemplate(part, model, cv2.TM_CCOEFF_NORMED)
        scores = np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0)
        _, score, _, (x, y) = cv2.minMaxLoc(scores)
        dx, dy = _peak(scores, x, y)
        centre = (x0 + x + dx + (width - 1) / 2, y0 + y + dy + (height - 1) / 2)
        matches.append((float(score), *centre))
    return matches


def _peak(scores: NDArray[Any], x: int, y: int) -> tuple[float, float]:
    """Offset of a parabola's top through the neighbours of a maximum, in pixels."""

    def offset(before: float, at: float, after: float) -> float:
        bend = before - 2 * at + after
        return 0.0 if bend >= -1e-9 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))

    rows, columns = scores.shape
    dx = dy = 0.0
    if 0 < x < columns - 1:
        dx = offset(*(float(scores[y, x + i]) for i in (-1, 0, 1)))
    if 0 < y < rows - 1:
        dy = offset(*(float(scores[y + i, x]) for i in (-1, 0, 1)))
    return dx, dy


def _judge(
    matches: list[tuple[float, float, float]], marker: Marker, shrink: float
) -> MarkerMatch | None:
    scores = [match[0] for match in matches]
    needed = max(marker.minimum_match, max(scores) - SCORE_SPREAD)
    found = [score >= needed for score in scores]
    if sum(found) < 3:
        return None
    quad = (np.array([match[1:] for match in matches]) + 0.5) / shrink - 0.5
    if sum(found) == 3:
        lost = found.index(False)
        quad[lost] = quad[lost - 1] + quad[(lost + 1) % 4] - quad[(lost + 2) % 4]
    a, b, c, d = scores
    e, f, g, h = found
    return MarkerMatch(quad, (a, b, c, d), (e, f, g, h))


def without(match: MarkerMatch, lost: int) -> MarkerMatch:
    """The same match with one corner not seen but completed from the other three."""
    quad = match.quad.copy()
    quad[lost] = quad[lost - 1] + quad[(lost + 1) % 4] - quad[(lost + 2) % 4]
    a, b, c, d = (seen and index != lost for index, seen in enumerate(match.found))
    return MarkerMatch(quad, match.scores, (a, b, c, d))
