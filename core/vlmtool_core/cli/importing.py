"""`vlmtool-cli import`: annotations from a file into a project, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, note
from vlmtool_core.formats import FORMATS
from vlmtool_core.project import Project


@click.command("import")
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--format", "format_name", type=click.Choice(FORMATS), help="By its ending if not given."
)
@click.option("--skip-unknown", is_flag=True, help="Leave out items that the project lacks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(
    project: Path, file: Path, format_name: str | None, skip_unknown: bool, as_json: bool
) -> None:
    """Take in annotations (jsonl, csv, coco) as one step that can be undone.

    A wrong field anywhere stops the import, and nothing of the file is then taken in.
    """
    from vlmtool_core.project.exchange import import_annotations

    chosen = format_name or _by_ending(file)
    with Project.open(project) as opened:
        report = import_annotations(opened, file, chosen, skip_unknown=skip_unknown)
    if as_json:
        emit_json({"read": report.read, "changed": report.changed, "unknown": list(report.unknown)})
        return
    note(f"{report.read} annotations read, {report.changed} new or changed")
    for name in report.unknown:
        note(f"  not in the project, left out: {name}")


def _by_ending(file: Path) -> str:
    return {".csv": "csv", ".json": "coco"}.get(file.suffix.lower(), "jsonl")
