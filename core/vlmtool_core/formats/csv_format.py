"""Tables for spreadsheets. Text that a spreadsheet would run as a formula is defused.

A cell that begins with one of `= + - @ '`, tab or carriage return gets an apostrophe in front,
which reading takes away again. Result tables round (scores to 6, pixels to 2 digits);
annotation tables are exact.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vlmtool_core.errors import FormatError
from vlmtool_core.formats.fields import annotation_from_json, located, read_text
from vlmtool_core.formats.records import AnnotationRow
from vlmtool_core.json_codec import measurement_to_json
from vlmtool_core.records import Box, Json, Outcome, ResultRow

ANNOTATION_COLUMNS = (
    "item",
    "frame",
    "kind",
    "label",
    "x1",
    "y1",
    "x2",
    "y2",
    "text",
    "author",
    "group",
    "sha256",
    "created_at",
    "updated_at",
    "width",
    "height",
    "measurement",
)
RESULT_COLUMNS = (
    "item",
    "sha256",
    "frame",
    "time_s",
    "task",
    "model",
    "model_version",
    "outcome",
    "rank",
    "label",
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
    "text",
    "data",
    "error",
    "taken_at",
)
_CORNERS = ("x1", "y1", "x2", "y2")
_FORMULA = tuple("=+-@\t\r'")


def guard(text: str) -> str:
    """A text that no spreadsheet runs as a formula; `unguard` takes the guard away."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def unguard(cell: str) -> str:
    """The text in a cell; an apostrophe that guards nothing belongs to the text."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for row in rows:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerow(row)
        yield buffer.getvalue()


def write_annotations(rows: Iterable[AnnotationRow]) -> Iterator[str]:
    """The lines of an annotation table, its head first."""
    yield from _lines([ANNOTATION_COLUMNS])
    yield from _lines(_annotation_cells(row) for row in rows)


def _annotation_cells(row: AnnotationRow) -> list[object]:
    text = guard(row.text or "")
    corners = [repr(float(value)) for value in row.box.xyxy] if row.box else [""] * 4
    stamps = [stamp.isoformat() if stamp else "" for stamp in (row.created_at, row.updated_at)]
    author, group = guard(row.author), guard(row.group)
    head = [guard(row.item), row.frame, row.kind, guard(row.label), *corners, text]
    measured = _as_json(measurement_to_json(row.measurement)) if row.measurement else ""
    size = row.size or ("", "")
    return [*head, author, group, guard(row.sha256), *stamps, *size, measured]


def read_annotations(path: Path) -> Iterator[AnnotationRow]:
    """The annotations in a table with a head; only `item` and `label` are required columns.

    Raises
    ------
    FormatError : naming the row and the column
    """
    for where, cells in _rows(path):
        with located(path, where):
            row = annotation_from_json(_entry(cells), where)
        yield row


def _entry(cells: Mapping[str, str]) -> dict[str, Json]:
    kind = cells.get("kind") or "label"
    entry: dict[str, Json] = {"kind": kind}
    for name in ("item", "label", "author", "group", "sha256"):
        entry[name] = unguard(cells.get(name, ""))
    entry["frame"] = _whole(cells, "frame") or 0
    if cells.get("text"):
        entry["text"] = unguard(cells["text"])
    if any(cells.get(name) for name in _CORNERS):
        entry["bbox"] = [_number(cells, name) for name in _CORNERS]
    for name in ("created_at", "updated_at"):
        entry[name] = cells.get(name) or None
    if cells.get("width") or cells.get("height"):
        entry["size"] = [_whole(cells, "width"), _whole(cells, "height")]
    if cells.get("measurement"):
        entry["measurement"] = _object(cells["measurement"])
    return entry


def _object(cell: str) -> Json:
    try:
        return json.loads(cell)
    except ValueError as error:
        raise FormatError(f"not valid JSON: {error}", field="measurement") from error


def _whole(cells: Mapping[str, str], name: str) -> int | None:
    cell = cells.get(name, "").strip()
    if not cell:
        return None
    if not (cell.isascii() and cell.isdigit()):
        raise FormatError(f"expected a whole number, got {cell!r}", field=name)
    return int(cell)


def _number(cells: Mapping[str, str], name: str) -> float:
    cell = unguard(cells.get(name, "")).strip()
    try:
        return float(cell)
    except ValueError as error:
        raise FormatError(f"expected a number, got {cell!r}", field=name) from error


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    head: list[str] | None = None
    try:
        for cells in reader:
            where = f"row {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if head is None:
                head = _head(path, cells)
                continue
            if len(cells) != len(head):
                found = f"{len(cells)} cells where the head has {len(head)}"
                raise FormatError(found, path=path, field=where)
            yield where, dict(zip(head, cells, strict=True))
    except csv.Error as error:
        raise FormatError(
            f"no valid CSV: {error}", path=path, field=f"row {reader.line_num}"
        ) from error
    if head is None:
        raise FormatError("is empty", path=path, remedy="Its first row must name the columns.")


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return ";" if ";" in first and "," not in first else ","


def _head(path: Path, cells: Sequence[str]) -> list[str]:
    head = [cell.strip() for cell in cells]
    known = ", ".join(ANNOTATION_COLUMNS)
    for name in head:
        if name not in ANNOTATION_COLUMNS:
            raise FormatError(
                "is no column of an annotation table",
                path=path,
                field=name or "head",
                remedy=f"Known: {known}.",
            )
        if head.count(name) > 1:
            raise FormatError("this column is there twice", path=path, field=name)
    if "item" not in head:
        raise FormatError("the column is missing", path=path, field="item")
    return head


def write_results(rows: Iterable[ResultRow]) -> Iterator[str]:
    """The lines of a result table, its head first: one for each score, box or line of text."""
    yield from _lines([RESULT_COLUMNS])
    for row in rows:
        yield from _lines(_result_cells(row))


def _result_cells(row: ResultRow) -> Iterator[list[object]]:
    seconds = "" if row.time_s is None else round(row.time_s, 6)
    model = [guard(row.model.id), guard(row.model.version)]
    head = [guard(row.item), row.sha256, row.frame, seconds, row.task.value, *model]
    error = row.outcome.error
    reason = "" if error is None else guard(f"{error.message} ({error.code})")
    data = "" if row.outcome.data is None else guard(_as_json(row.outcome.data))
    for cells in _outcome_cells(row.outcome) or [[""] * 8]:
        yield [*head, row.outcome.status.value, *cells, data, reason, row.taken_at]


def _outcome_cells(outcome: Outcome) -> list[list[object]]:
    """rank, label, score, x1, y1, x2, y2, text: for each score, box, line, or the text."""
    cells: list[list[object]] = []
    for rank, score in enumerate(outcome.scores, start=1):
        cells.append([rank, guard(score.label), round(score.score, 6), "", "", "", "", ""])
    for rank, box in enumerate(outcome.boxes, start=1):
        cells.append([rank, guard(box.label), _rounded(box.score), *_pixels(box), ""])
    for rank, line in enumerate(outcome.lines, start=1):
        x, y = [p[0] for p in line.quad], [p[1] for p in line.quad]
        around = Box(min(x), min(y), max(x), max(y), "") if line.quad else None
        corners = _pixels(around) if around else [""] * 4
        cells.append([rank, "", _rounded(line.score), *corners, guard(line.text)])
    if outcome.text is not None and not outcome.lines:
        cells.append(["", "", "", "", "", "", "", guard(outcome.text)])
    return cells


def _as_json(data: Json) -> str:
    return json.dumps(data, ensure_ascii=False)


def _rounded(score: float | None) -> object:
    return "" if score is None else round(score, 6)


def _pixels(box: Box) -> list[object]:
    return [round(value, 2) for value in box.xyxy]
