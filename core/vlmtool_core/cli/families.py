"""`vlmtool-cli models families`: which kinds of models can be used, and for what."""

from __future__ import annotations

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.engine.family import Family
from vlmtool_core.records import Json, Task


@click.command("families")
@click.option(
    "--task", type=click.Choice([task.value for task in Task]), help="Only for this task."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_families(task: str | None, as_json: bool) -> None:
    """List the families of models, with the model types of the folders that they take."""
    from vlmtool_core.engine.registry import all_families

    found = [_values(family) for family in all_families() if family.tasks]
    rows = [values for values in found if task is None or task in values["tasks"]]
    if as_json:
        emit_json(rows)
        return
    columns = ("Family", "Tasks", "Model types", "What")
    emit_table("Families of models", columns, [_row(values) for values in rows])


def _values(family: type[Family]) -> dict[str, Json]:
    return {
        "family": family.name,
        "tasks": [task.value for task in family.tasks],
        "model_types": sorted(family.model_types),
        "architectures": list(family.architectures),
        "what": (family.__doc__ or "").strip().partition("\n")[0],
    }


def _row(values: dict[str, Json]) -> list[str]:
    kinds = values["model_types"] or [f"any {ending}" for ending in values["architectures"]]
    return [values["family"], ", ".join(values["tasks"]), ", ".join(kinds), values["what"]]
