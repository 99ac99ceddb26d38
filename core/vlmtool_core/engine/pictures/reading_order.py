"""The order in which a person reads lines on a page: column by column, row by row.

Columns are recognised where a gutter runs through a block and long lines stand on both sides;
short pieces beside each other (forms, tables) are read along the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

Rect = tuple[float, float, float, float]  # x1, y1, x2, y2

# In line heights: how wide a gutter is, and how long the lines of a column are at least.
_GUTTER = 0.8
_COLUMN_WIDTH = 6.0
# Part of the smaller height that two pieces share when they stand on the same row.
_SAME_ROW = 0.5


def reading_rows(rects: Sequence[Rect]) -> list[list[int]]:
    """Indices of `rects` as rows in reading order, each row from left to right."""
    return _rows(rects, list(range(len(rects))))


def _rows(rects: Sequence[Rect], chosen: list[int]) -> list[list[int]]:
    if len(chosen) < 2:
        return [chosen] if chosen else []
    columns = _columns(rects, chosen)
    if columns:
        return [row for column in columns for row in _rows(rects, column)]
    above, below = _widest_gap(rects, chosen)
    if above and _has_columns_inside(rects, above, below):
        return [*_rows(rects, above), *_rows(rects, below)]
    return _cluster(rects, chosen)


def _columns(rects: Sequence[Rect], chosen: list[int]) -> list[list[int]] | None:
    """The block cut at its gutters, or None when it is one column or a table."""
    height = _line_height(rects, chosen)
    ordered = sorted(chosen, key=lambda n: rects[n][0])
    parts: list[list[int]] = [[ordered[0]]]
    reach = rects[ordered[0]][2]
    for n in ordered[1:]:
        if rects[n][0] - reach >= _GUTTER * height:
            parts.append([])
        parts[-1].append(n)
        reach = max(reach, rects[n][2])
    if len(parts) < 2 or not all(_is_column(rects, part, height) for part in parts):
        return None
    return parts


def _is_column(rects: Sequence[Rect], part: list[int], height: float) -> bool:
    rows = _cluster(rects, part)
    width = median(rects[n][2] - rects[n][0] for n in part)
    return len(rows) >= 2 and width >= _COLUMN_WIDTH * height


def _widest_gap(rects: Sequence[Rect], chosen: list[int]) -> tuple[list[int], list[int]]:
    """The block cut at the widest empty band across it; ([], chosen) when there is none."""
    ordered = sorted(chosen, key=lambda n: rects[n][1])
    reach, best, at = rects[ordered[0]][3], 0.0, 0
    for position, n in enumerate(ordered[1:], start=1):
        gap = rects[n][1] - reach
        if gap > best:
            best, at = gap, position
        reach = max(reach, rects[n][3])
    return ordered[:at], ordered[at:]


def _has_columns_inside(rects: Sequence[Rect], *parts: list[int]) -> bool:
    """Whether cutting the block across would bring columns to light, below a heading say."""
    for part in parts:
        if len(part) < 4:
            continue
        if _columns(rects, part):
            return True
        above, below = _widest_gap(rects, part)
        if above and _has_columns_inside(rects, above, below):
            return True
    return False


def _cluster(rects: Sequence[Rect], chosen: list[int]) -> list[list[int]]:
    """Pieces of one row share most of their height; rows go down, pieces go right."""
    rows: list[list[int]] = []
    for n in sorted(chosen, key=lambda n: (rects[n][1] + rects[n][3], rects[n][0])):
        if rows and _on_row(rects, rows[-1], n):
            rows[-1].append(n)
        else:
            rows.append([n])
    return [sorted(row, key=lambda n: rects[n][0]) for row in rows]


def _on_row(rects: Sequence[Rect], row: list[int], n: int) -> bool:
    top = sum(rects[m][1] for m in row) / len(row)
    bottom = sum(rects[m][3] for m in row) / len(row)
    shared = min(bottom, rects[n][3]) - max(top, rects[n][1])
    smaller = min(bottom - top, rects[n][3] - rects[n][1])
    return shared >= _SAME_ROW * max(smaller, 1e-9)


def _line_height(rects: Sequence[Rect], chosen: list[int]) -> float:
    return max(median(rects[n][3] - rects[n][1] for n in chosen), 1e-9)
