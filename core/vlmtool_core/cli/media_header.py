"""`vlmtool-cli media header`: the elements of a DICOM object, with a search."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, emit_table, note
from vlmtool_core.cli.identifying import identifying_option
from vlmtool_core.records import Json

HIDDEN = "(hidden)"


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--search", default="", metavar="TEXT", help="Only elements with this in tag or name."
)
@identifying_option("Show values that identify a person, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def header(path: Path, search: str, identifying: bool, as_json: bool) -> None:
    """List the header of a DICOM file.

    Names, dates, numbers, free texts and private elements are hidden unless asked for.
    """
    from vlmtool_core.media.dicom.elements import elements_of, matching

    everything = elements_of(path)
    found = matching(everything, search, identifying=identifying)
    rows = [
        (e, HIDDEN if e.identifying and e.value and not identifying else e.value) for e in found
    ]
    if as_json:
        values: list[Json] = [
            {"tag": e.tag, "keyword": e.keyword, "vr": e.vr, "value": value, "depth": e.depth}
            for e, value in rows
        ]
        emit_json(values)
        return
    table = [(f"{'  ' * e.depth}{e.tag}", e.vr, e.keyword or e.name, value) for e, value in rows]
    emit_table(path.name, ("Tag", "VR", "Name", "Value"), table)
    note(f"{len(found)} of {len(everything)} elements")
