"""Reading single fields of import files: strict, and every error names row and field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from vlmtool_core.errors import FormatError, MediaNotFoundError
from vlmtool_core.formats.records import KINDS, AnnotationKind, AnnotationRow
from vlmtool_core.json_codec import (
    box_from_json,
    integer,
    measurement_from_json,
    measurement_to_json,
    optional,
    required,
    text,
)
from vlmtool_core.records import Box, Json

ANNOTATION_FIELDS = (
    "item",
    "sha256",
    "group",
    "frame",
    "kind",
    "label",
    "bbox",
    "text",
    "measurement",
    "author",
    "created_at",
    "updated_at",
    "size",
)


@contextmanager
def located(path: Path, where: str = "") -> Iterator[None]:
    """Add the file and the row to a `FormatError` raised within."""
    try:
        yield
    except FormatError as error:
        field = ", ".join(part for part in (where, error.field or "") if part)
        raise FormatError(
            error.message, remedy=error.remedy, path=path, field=field or None
        ) from error


def read_text(path: Path) -> str:
    """A UTF-8 text file, with or without a byte order mark.

    Raises
    ------
    MediaNotFoundError : it is not there or may not be read
    FormatError : it is no UTF-8
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"not UTF-8 (byte {error.start})", path=path, remedy="Save the file as UTF-8."
        ) from error


def moment(value: Json, field: str) -> datetime:
    """A date and time with its zone, ISO 8601."""
    try:
        found = datetime.fromisoformat(text(value, field))
    except ValueError as error:
        raise FormatError(f"expected a date and time, got {value!r}", field=field) from error
    if found.tzinfo is None:
        raise FormatError(f"expected a time zone in {value!r}", field=field)
    return found


def kind_of(value: Json, field: str = "kind") -> AnnotationKind:
    for kind in KINDS:
        if value == kind:
            return kind
    raise FormatError(f"expected one of {', '.join(KINDS)}, got {value!r}", field=field)


def size_of(value: Json, field: str) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise FormatError(f"expected [width, height], got {value!r}", field=field)
    return integer(value[0], field), integer(value[1], field)


def annotation_to_json(row: AnnotationRow) -> dict[str, Json]:
    """One annotation as an object; keys without a value are left out."""
    found: dict[str, Json] = {
        "item": row.item,
        "sha256": row.sha256,
        "group": row.group,
        "frame": row.frame,
        "kind": row.kind,
        "label": row.label,
        "bbox": list(row.box.xyxy) if row.box else None,
        "text": row.text,
        "measurement": measurement_to_json(row.measurement) if row.measurement else None,
        "author": row.author,
        "created_at": row.created_at.isoformat() if row.created_at else None,
        "updated_at": row.updated_at.isoformat() if row.updated_at else None,
        "size": list(row.size) if row.size else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def annotation_from_json(entry: Mapping[str, Json], where: str = "") -> AnnotationRow:
    """The annotation in an object; `item` and what its kind needs are required.

    Raises
    ------
    FormatError : a field is missing, wrong, or not known (a slip of the pen loses nothing)
    """
    for key in entry:
        if key not in ANNOTATION_FIELDS:
            known = ", ".join(ANNOTATION_FIELDS)
            raise FormatError("is no field of an annotation", field=key, remedy=f"Known: {known}.")
    kind = kind_of(entry.get("kind", "label"))
    label = text(entry.get("label", ""), "label")
    row = AnnotationRow(
        item=text(required(entry, "item"), "item"),
        kind=kind,
        frame=integer(entry.get("frame", 0), "frame"),
        label=label,
        box=_box(entry, label),
        text=optional(entry.get("text"), "text", text),
        measurement=optional(entry.get("measurement"), "measurement", measurement_from_json),
        author=text(entry.get("author", ""), "author"),
        sha256=text(entry.get("sha256", ""), "sha256"),
        group=text(entry.get("group", ""), "group"),
        created_at=optional(entry.get("created_at"), "created_at", moment),
        updated_at=optional(entry.get("updated_at"), "updated_at", moment),
        size=optional(entry.get("size"), "size", size_of),
        where=where,
    )
    check_annotation(row)
    return row


def _box(entry: Mapping[str, Json], label: str) -> Box | None:
    if entry.get("bbox") is None:
        return None
    try:
        return box_from_json({"bbox": entry["bbox"], "label": label})
    except FormatError as error:
        field = (error.field or "bbox").removeprefix("box.")
        raise FormatError(error.message, field=field) from error


def check_annotation(row: AnnotationRow) -> None:
    """Raise `FormatError` unless the row has what its kind needs, and only that."""
    if not row.item:
        raise FormatError("is empty", field="item")
    if row.label != row.label.strip():
        raise FormatError(f"{row.label!r} has outer spaces", field="label")
    if row.kind == "label" and not row.label:
        raise FormatError("a label annotation needs one", field="label")
    if (row.kind == "box") != (row.box is not None):
        raise FormatError(f"does not fit the kind {row.kind!r}", field="bbox")
    if (row.kind == "text") != (row.text is not None):
        raise FormatError(f"does not fit the kind {row.kind!r}", field="text")
    if (row.kind == "measurement") != (row.measurement is not None):
        raise FormatError(f"does not fit the kind {row.kind!r}", field="measurement")
    if row.text == "":
        raise FormatError("is empty", field="text")
