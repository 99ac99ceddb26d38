"""`vlmtool-cli export`: annotations or predictions of a project, or a result file, as a format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from vlmtool_core.cli.console import note
from vlmtool_core.errors import UsageError
from vlmtool_core.formats import read_results, write_annotations, write_results
from vlmtool_core.paths import stream_atomically
from vlmtool_core.project import Project
from vlmtool_core.records import RUN_TASKS, Task


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="PROJECT|RESULTS")
@click.option(
    "--format",
    "format_name",
    metavar="NAME",
    default="jsonl",
    show_default=True,
    help="jsonl, csv, coco, or one of a plugin (see vlmtool-cli plugins).",
)
@click.option(
    "--what",
    type=click.Choice(["annotations", "predictions"]),
    help="What of a project (default: annotations).",
)
@click.option("--task", type=click.Choice([t.value for t in RUN_TASKS]), help="Only this task.")
@click.option(
    "--all-runs", is_flag=True, help="Predictions of every run, not only the newest of each frame."
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write (default: stdout).")
def export(
    source: Path,
    format_name: str,
    what: str | None,
    task: str | None,
    all_runs: bool,
    out: Path | None,
) -> None:
    """Write out annotations or predictions.

    RESULTS is a jsonl or coco file that `run --out` wrote.
    """
    if source.is_file():
        if what == "annotations":
            raise UsageError("a result file holds no annotations", field="--what", path=source)
        kind = "coco" if source.suffix.lower() == ".json" else "jsonl"
        rows = read_results(kind, source)
        wanted = (row for row in rows if task is None or row.task.value == task)
        _write(write_results(format_name, wanted), out)
        return
    with Project.open(source) as project:
        _write(_of_project(project, format_name, what, task, all_runs=all_runs), out)


def _of_project(
    project: Project, format_name: str, what: str | None, task: str | None, *, all_runs: bool
) -> Iterator[str]:
    from vlmtool_core.project.exchange import annotation_rows, result_rows

    labels = [label.name for label in project.label_set().labels]
    if what == "predictions":
        chosen = Task(task) if task else None
        rows = result_rows(project, task=chosen, newest_only=not all_runs)
        return write_results(format_name, rows)
    if task is not None or all_runs:
        raise UsageError("--task and --all-runs go with --what predictions", field="--what")
    return write_annotations(format_name, annotation_rows(project), labels)


def _write(pieces: Iterator[str], out: Path | None) -> None:
    if out is None:
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    stream_atomically(out, (piece.encode("utf-8", "backslashreplace") for piece in pieces))
    note(f"Wrote {out}")
