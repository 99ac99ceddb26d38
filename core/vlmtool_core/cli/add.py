"""`vlmtool-cli add`: take files and folders into a project."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, note, progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.json_codec import error_to_json
from vlmtool_core.project import AddReport, Project

NAMED_AT_MOST = 50


@click.command()
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@click.option(
    "--group-by",
    metavar="folder|patient|REGEX",
    help="What must stay together when learning: the folder, the DICOM patient, or the part of "
    "the name that a regular expression catches. Without it, DICOM goes by patient.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def add(
    ctx: click.Context,
    project: Path,
    paths: tuple[Path, ...],
    group_by: str | None,
    as_json: bool,
) -> None:
    """Add pictures, DICOM and video to a project.

    Folders are searched to the bottom. Files stay where they are. A file that cannot be read is
    listed with its reason, and the exit code is then 1; everything else is taken in.
    """
    with (
        Project.open(project) as opened,
        cancel_on_interrupt() as cancel,
        progress_on_stderr("Adding") as progress,
    ):
        report = opened.add(paths, group_by=group_by, progress=progress, cancel=cancel)
    if as_json:
        emit_json(_values(report))
    else:
        _describe(report)
    if report.unreadable:
        ctx.exit(1)


def _values(report: AddReport) -> dict[str, object]:
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "refound": report.refound,
        "changed": list(report.changed),
        "duplicates": [{"item": name, "same_as": other} for name, other in report.duplicates],
        "unreadable": [
            {
                "item": found.name,
                "path": str(found.path),
                "error": None if found.error is None else error_to_json(found.error),
            }
            for found in report.unreadable
        ],
    }


def _describe(report: AddReport) -> None:
    parts = [f"{report.added} added", f"{report.unchanged} unchanged"]
    if report.refound:
        parts.append(f"{report.refound} found again at a new place")
    if report.duplicates:
        parts.append(f"{len(report.duplicates)} with the same content as another")
    if report.unreadable:
        parts.append(f"{len(report.unreadable)} unreadable")
    if not any((report.added, report.unchanged, report.refound, report.unreadable)):
        parts = ["Nothing added: there is no picture, DICOM, video or volume there"]
    note(", ".join(parts))
    _list([f"  same content: {name} = {other}" for name, other in report.duplicates])
    _list([f"  changed since it was added, review it: {name}" for name in report.changed])
    _list(
        [
            f"  unreadable: {found.name}: {found.error.message if found.error else ''}"
            for found in report.unreadable
        ]
    )


def _list(lines: list[str]) -> None:
    for line in lines[:NAMED_AT_MOST]:
        note(line)
    if len(lines) > NAMED_AT_MOST:
        note(f"  ... and {len(lines) - NAMED_AT_MOST} more")
