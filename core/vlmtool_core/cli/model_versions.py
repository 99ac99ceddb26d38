"""`vlmtool-cli models use | rollback | history`: the model versions of a project."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.errors import UsageError
from vlmtool_core.project import Project
from vlmtool_core.project.model_versions import Activation
from vlmtool_core.training.records import ModelVersion

project_argument = click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")


@click.command()
@project_argument
@click.argument("version")
@click.option("--force", is_flag=True, help="Even if it was worse on the hold-out.")
def use(project: Path, version: str, force: bool) -> None:
    """Make a version of a project the active one ("v2")."""
    from vlmtool_core.project.model_versions import version_number

    number = int(version) if version.isdecimal() else version_number(version)
    if number is None:
        raise UsageError(f"expected a version such as v2, got {version!r}", field="VERSION")
    with Project.open(project) as opened:
        used = opened.use_version(number, force=force)
    click.echo(f"{used.label} is active: {used.title}.")


@click.command()
@project_argument
def rollback(project: Path) -> None:
    """Go back to the model that was active before; again, to go further back."""
    with Project.open(project) as opened:
        version = opened.rollback()
    if version is None:
        click.echo("The plain pack is active again; no trained version is in use.")
    else:
        click.echo(f"{version.label} is active again: {version.title}.")


@click.command()
@project_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def history(project: Path, as_json: bool) -> None:
    """List the versions of a project and when each became active."""
    from vlmtool_core.project.model_versions import history as activations

    with Project.open(project) as opened:
        versions = opened.versions()
        changes = activations(opened)
    if as_json:
        emit_json(
            {
                "versions": [version.to_json() for version in versions],
                "activations": [
                    {
                        "version": c.version,
                        "at": c.at.isoformat(),
                        "author": c.author,
                        "action": c.action,
                    }
                    for c in changes
                ],
            }
        )
        return
    emit_table(
        "Versions",
        ("Version", "Active", "Accuracy", "95 % interval", "Made", "What"),
        [_version_row(version) for version in versions],
    )
    if changes:
        emit_table(
            "What was active",
            ("When", "Version", "How", "By"),
            [_change_row(change) for change in changes],
        )


def _version_row(version: ModelVersion) -> tuple[str, ...]:
    m = version.metrics
    return (
        version.label,
        "yes" if version.active else "",
        f"{100 * m['accuracy']:.1f} %" if "accuracy" in m else "",
        f"{100 * m['accuracy_low']:.1f} to {100 * m['accuracy_high']:.1f} %"
        if "accuracy_low" in m
        else "",
        f"{version.created_at:%Y-%m-%d %H:%M}",
        version.title,
    )


def _change_row(change: Activation) -> tuple[str, ...]:
    name = "the plain pack" if change.version is None else f"v{change.version}"
    return f"{change.at:%Y-%m-%d %H:%M:%S}", name, change.action, change.author
