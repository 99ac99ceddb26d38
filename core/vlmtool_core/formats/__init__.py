"""Formats for export and import, one file each. All of them stream text and read strictly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlmtool_core.errors import FormatError, UsageError
from vlmtool_core.formats import coco, csv_format, jsonl
from vlmtool_core.formats.exporters import (
    BUILT_IN,
    exporter,
    format_of_ending,
    write_annotations,
    write_results,
)
from vlmtool_core.formats.records import AnnotationRow
from vlmtool_core.formats.results import result_from_json, result_to_json
from vlmtool_core.records import ResultRow

# What is read back; plugins only add formats to write.
FORMATS = tuple(BUILT_IN)

__all__ = [
    "FORMATS",
    "AnnotationRow",
    "exporter",
    "format_of_ending",
    "read_annotations",
    "read_results",
    "result_from_json",
    "result_to_json",
    "write_annotations",
    "write_results",
]


def _check(name: str) -> None:
    if name not in FORMATS:
        raise UsageError(f"no format {name!r}; there are: {', '.join(FORMATS)}", field="format")


def read_annotations(name: str, path: Path) -> list[AnnotationRow]:
    """Every annotation in a file.

    Raises
    ------
    FormatError : the file, the row and the field that is wrong; nothing is returned
    MediaNotFoundError : no such file
    """
    _check(name)
    readers = {
        "jsonl": jsonl.read_annotations,
        "csv": csv_format.read_annotations,
        "coco": coco.read_annotations,
    }
    return list(readers[name](path))


def read_results(name: str, path: Path) -> Iterator[ResultRow]:
    """The results in a file; a table is rounded and has no way back.

    Raises
    ------
    FormatError, MediaNotFoundError
    """
    _check(name)
    if name == "csv":
        raise FormatError(
            "results are not read back from CSV: it is rounded",
            path=path,
            remedy="Use the jsonl or coco file.",
        )
    return coco.read_results(path) if name == "coco" else jsonl.read_results(path)
