"""`vlmtool-cli project`: create a project, look into it, take steps back and do them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vlmtool_core.cli.console import emit_json, emit_table, note
from vlmtool_core.errors import RecordNotFoundError, UsageError
from vlmtool_core.project import Project, ProjectInfo

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def project() -> None:
    """Create a project, look into it, undo and redo."""


@project.command()
@_DIRECTORY
@click.option("--name", default="", help="Its name; the folder's if not given.")
@click.option(
    "--database",
    metavar="URL",
    help="Keep the records in this empty PostgreSQL database (postgresql://USER@HOST/NAME) "
    "instead of a file in DIR. Passwords come from ~/.pgpass or PGPASSWORD.",
)
def new(directory: Path, name: str, database: str | None) -> None:
    """Make a project in DIR. Media stay where they are; DIR holds the database."""
    with Project.create(directory, name=name, database=database) as made:
        note(f"Made the project {made.name!r} in {made.root}")
        note(f"Next: vlmtool-cli add {directory} FOLDER")


@project.command()
@_DIRECTORY
@_JSON
def info(directory: Path, as_json: bool) -> None:
    """Show how much of everything the project holds."""
    with Project.open(directory) as opened:
        found = opened.info()
        check = opened.store.audit.verify()
    values = _values(found) | {"audit_log": "whole" if check.broken_at is None else "broken"}
    if as_json:
        emit_json(values)
        return
    emit_table(
        found.name, ("", ""), [(key.replace("_", " "), _shown(v)) for key, v in values.items()]
    )


def _values(info: ProjectInfo) -> dict[str, Any]:
    counts = info.counts
    return {
        "name": info.name,
        "folder": str(info.root),
        "read_only": info.read_only,
        "database_revision": info.revision,
        "database_bytes": info.size_bytes,
        "items": dict(info.items),
        "groups": counts.groups,
        "labels": list(info.labels),
        "labelled_items": counts.labelled,
        "annotations": counts.annotations,
        "measurements": counts.measurements,
        "runs": counts.runs,
        "predictions": counts.predictions,
        "findings": counts.findings,
        "pending_findings": counts.pending_findings,
        "model_versions": counts.versions,
        "active_version": info.active_version,
        "backups": [str(path) for path in info.backups],
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {kind}" for kind, count in sorted(value.items())) or "none"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


@project.command()
@_DIRECTORY
@_JSON
def undo(directory: Path, as_json: bool) -> None:
    """Take the newest step back (labels, boxes, decisions, imports)."""
    with Project.open(directory) as opened:
        _report("undone", opened.undo(), as_json)


@project.command()
@_DIRECTORY
@_JSON
def redo(directory: Path, as_json: bool) -> None:
    """Do the step that was undone last again."""
    with Project.open(directory) as opened:
        _report("redone", opened.redo(), as_json)


def _report(verb: str, step: str | None, as_json: bool) -> None:
    if as_json:
        emit_json({verb: step})
    else:
        note(f"Nothing to be {verb}." if step is None else f"{verb.capitalize()}: {step}")


@project.command()
@_DIRECTORY
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Newest N.")
@_JSON
def history(directory: Path, limit: int, as_json: bool) -> None:
    """List the steps, newest first, and whether they hold."""
    with Project.open(directory) as opened:
        steps = opened.history(limit)
    if as_json:
        emit_json(
            [
                {
                    "step": step.step,
                    "description": step.description,
                    "author": step.author,
                    "at": step.at.isoformat(),
                    "undone": step.undone,
                }
                for step in steps
            ]
        )
        return
    rows = [
        (s.step, f"{s.at:%Y-%m-%d %H:%M:%S}", s.author, s.description, "undone" if s.undone else "")
        for s in steps
    ]
    emit_table("History", ("step", "at (UTC)", "author", "what", ""), rows)


@project.command()
@_DIRECTORY
@click.option("--set", "set_name", help="Use a label set that a plugin brings, by its name.")
@click.option("--add", "names", multiple=True, metavar="LABEL", help="Add a label (repeatable).")
@click.option("--exclusive/--several", default=None, help="One label for an item, or several.")
@_JSON
def labels(
    directory: Path,
    set_name: str | None,
    names: tuple[str, ...],
    exclusive: bool | None,
    as_json: bool,
) -> None:
    """Show or change the label set."""
    with Project.open(directory) as opened:
        _change_labels(opened, set_name, names, exclusive)
        found = opened.label_set()
    if as_json:
        emit_json(
            {
                "name": found.name,
                "exclusive": found.exclusive,
                "labels": [
                    {
                        "name": label.name,
                        "prompts": list(label.prompts),
                        "definition": label.definition,
                        "colour": label.colour,
                        "shortcut": label.shortcut,
                    }
                    for label in found.labels
                ],
            }
        )
        return
    title = f"{found.name or 'Labels'} ({'one' if found.exclusive else 'several'} for an item)"
    rows = [(label.name, label.shortcut, "; ".join(label.prompts)) for label in found.labels]
    emit_table(title, ("label", "key", "prompts"), rows)


def _change_labels(
    opened: Project, set_name: str | None, names: tuple[str, ...], exclusive: bool | None
) -> None:
    from dataclasses import replace

    from vlmtool_core.hooks.manager import plugin_manager

    if set_name is not None:
        sets = {label_set.name: label_set for label_set in plugin_manager().label_sets()}
        if set_name not in sets:
            raise RecordNotFoundError(
                f"no label set {set_name!r}; there are: {', '.join(sorted(sets))}", field="--set"
            )
        opened.set_label_set(sets[set_name])
    if names:
        opened.ensure_labels(names)
    if exclusive is not None:
        if exclusive and _has_several(opened):
            raise UsageError(
                "some items have several labels", remedy="Keep one label for each item first."
            )
        opened.set_label_set(replace(opened.label_set(), exclusive=exclusive))


def _has_several(opened: Project) -> bool:
    seen: set[tuple[int, int]] = set()
    for annotation in opened.annotations():
        if annotation.kind == "label":
            place = (annotation.item_id, annotation.frame)
            if place in seen:
                return True
            seen.add(place)
    return False


@project.command()
@_DIRECTORY
def backup(directory: Path) -> None:
    """Copy the database into the project's backups folder."""
    with Project.open(directory) as opened:
        note(f"Wrote {opened.backup()}")
