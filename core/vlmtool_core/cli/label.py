"""`vlmtool-cli label`: labels for the items of a project, from a table or one by one."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, note
from vlmtool_core.errors import UsageError
from vlmtool_core.project import Project


@click.command()
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.argument("item", required=False)
@click.argument("name", required=False, metavar="[LABEL]")
@click.option(
    "--from",
    "table",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Table with the columns path, label and, if wanted, group.",
)
@click.option(
    "--skip-unknown", is_flag=True, help="Take in the rest when some paths are no item's."
)
@click.option("--clear", is_flag=True, help="Take the labels of ITEM away.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def label(
    ctx: click.Context,
    project: Path,
    item: str | None,
    name: str | None,
    table: Path | None,
    skip_unknown: bool,
    clear: bool,
    as_json: bool,
) -> None:
    """Label items: `label PROJECT --from labels.csv`, or `label PROJECT ITEM LABEL`.

    A table is taken in whole or not at all: a path that is no item of the project stops it,
    unless --skip-unknown is given. Each call is one step that can be undone.
    """
    if (table is None) == (item is None):
        raise UsageError("give either --from CSV or ITEM and LABEL")
    with Project.open(project) as opened:
        if table is not None:
            _from_table(ctx, opened, table, skip_unknown=skip_unknown, as_json=as_json)
        else:
            assert item is not None
            _one(opened, item, name, clear=clear, as_json=as_json)


def _from_table(
    ctx: click.Context, project: Project, table: Path, *, skip_unknown: bool, as_json: bool
) -> None:
    from vlmtool_core.project.label_table import read_label_table, take_in_labels

    report = take_in_labels(project, table, read_label_table(table), skip_unknown=skip_unknown)
    for path in report.unknown:
        note(f"no such item: {path}")
    if as_json:
        emit_json(
            {
                "labelled": report.labelled,
                "unchanged": report.unchanged,
                "grouped": report.grouped,
                "unknown": list(report.unknown),
            }
        )
    else:
        click.echo(
            f"{report.labelled} items labelled, {report.unchanged} had their label already, "
            f"{report.grouped} put into another group, {len(report.unknown)} unknown."
        )
    if report.unknown:
        ctx.exit(1)


def _one(project: Project, item: str, name: str | None, *, clear: bool, as_json: bool) -> None:
    if (name is None) != clear:
        raise UsageError("give a LABEL, or --clear to take the labels away", field="LABEL")
    found = project.find_item(item)
    changed = project.set_label([found.id], name)
    if as_json:
        emit_json({"item": found.name, "label": name, "changed": bool(changed)})
    else:
        click.echo(f"{found.name}: {name if name is not None else 'no label'}")
