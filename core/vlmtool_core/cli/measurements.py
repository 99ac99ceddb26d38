"""`vlmtool-cli measurements`: what persons measured in a project, checked against the pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.records import Json

if TYPE_CHECKING:
    from vlmtool_core.project.measurements import CheckedMeasurement


@click.command()
@click.argument("directory", metavar="PROJECT", type=click.Path(path_type=Path))
@click.argument("item", required=False)
@click.option("--stored", is_flag=True, help="As they were stored, without opening any file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def measurements(directory: Path, item: str | None, stored: bool, as_json: bool) -> None:
    """List what was measured in a project, or on ITEM, with values, units and pixel spacing.

    Each is measured again on the file as it is now; where that comes to something else than what
    was stored, both are told.
    """
    from vlmtool_core.project import Project
    from vlmtool_core.project.measurements import CheckedMeasurement, checked_measurements

    with Project.open(directory) as project:
        item_id = project.find_item(item).id if item else None
        found: Iterable[CheckedMeasurement]
        if stored:
            names = {i.id: i.name for i in project.items()}
            found = [
                CheckedMeasurement(names[a.item_id], a, a.measurement, a.measurement.result)
                for a in project.annotations(item_id)
                if a.measurement is not None
            ]
        else:
            found = list(checked_measurements(project, item_id))
    if as_json:
        emit_json([_as_json(one, checked=not stored) for one in found])
        return
    emit_table(
        "Measurements",
        ("number", "item", "frame", "measured", "pixel spacing", "author", "checked"),
        [_row(one, checked=not stored) for one in found],
    )


def _row(one: CheckedMeasurement, *, checked: bool) -> tuple[object, ...]:
    from vlmtool_core.media.measured_text import measured_text, spacing_text

    result = one.now or one.measurement.result
    shown = measured_text(replace(one.measurement, result=result))
    told = _state(one) if checked else "not checked"
    annotation = one.annotation
    head = annotation.id, one.item, annotation.frame, shown
    return *head, spacing_text(result), annotation.author, told


def _state(one: CheckedMeasurement) -> str:
    if one.error is not None:
        return f"as stored, cannot be checked: {one.error.message}"
    return f"changed: {'; '.join(one.changes)}" if one.changes else "same"


def _as_json(one: CheckedMeasurement, *, checked: bool) -> dict[str, Json]:
    from vlmtool_core.json_codec import error_to_json, measurement_to_json

    annotation = one.annotation
    shape = measurement_to_json(one.measurement)
    now = None if one.now is None else measurement_to_json(replace(one.measurement, result=one.now))
    return {
        "id": annotation.id,
        "item": one.item,
        "frame": annotation.frame,
        "kind": shape["kind"],
        "points": shape["points"],
        "author": annotation.author,
        "updated_at": annotation.updated_at.isoformat(),
        "stored": shape["result"],
        "now": now["result"] if checked and now else None,
        "changes": list(one.changes),
        "error": None if one.error is None else error_to_json(one.error),
    }
