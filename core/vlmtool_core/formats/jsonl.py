"""JSON Lines: one object a line, exact, streamed. The format that keeps everything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from vlmtool_core.errors import FormatError
from vlmtool_core.formats.fields import (
    annotation_from_json,
    annotation_to_json,
    located,
    read_text,
)
from vlmtool_core.formats.records import AnnotationRow
from vlmtool_core.formats.results import result_from_json, result_to_json
from vlmtool_core.json_codec import mapping
from vlmtool_core.records import Json, ResultRow


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def write_results(rows: Iterable[ResultRow]) -> Iterator[str]:
    """The lines of a result file."""
    return (_line(result_to_json(row)) for row in rows)


def write_annotations(rows: Iterable[AnnotationRow]) -> Iterator[str]:
    """The lines of an annotation file."""
    return (_line(annotation_to_json(row)) for row in rows)


def read_results(path: Path) -> Iterator[ResultRow]:
    """The results in a file.

    Raises
    ------
    FormatError : naming the line and the field
    """
    for where, value in _objects(path):
        with located(path, where):
            row = result_from_json(value)
        yield row


def read_annotations(path: Path) -> Iterator[AnnotationRow]:
    """The annotations in a file.

    Raises
    ------
    FormatError : naming the line and the field
    """
    for where, value in _objects(path):
        with located(path, where):
            row = annotation_from_json(value, where)
        yield row


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    # Not splitlines(): it would also split at U+2028 and others that JSON texts may hold.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        with located(path, where):
            try:
                value = json.loads(line, parse_constant=_no_constant)
            except ValueError as error:
                raise FormatError(f"not valid JSON: {error}") from error
            found = dict(mapping(value, ""))
        yield where, found


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")
