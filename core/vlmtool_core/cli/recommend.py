"""`vlmtool-cli models recommend`: which models suit a domain, a task and this machine."""

from __future__ import annotations

from typing import Any

import click

from vlmtool_core.cli.console import emit_json, emit_table, note
from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.packs.recommendation import DOMAINS, Recommended, machine_memory, recommend
from vlmtool_core.records import Task


@click.command("recommend")
@click.option("--domain", type=click.Choice(DOMAINS), help="What the pictures are about.")
@click.option("--task", type=click.Choice([task.value for task in Task]), help="What to do.")
@click.option(
    "--memory",
    type=click.FloatRange(0, 10_000, min_open=True),
    help="GB of the machine (or of its accelerator with --device cuda); this one's by default.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where models will run; auto is cuda if there is an accelerator.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recommend_packs(
    domain: str | None, task: str | None, memory: float | None, device: str, as_json: bool
) -> None:
    """List the models that suit a machine, for each task the strongest first."""
    memory_gb, where = machine_memory(memory, device)
    cards = recommend(memory_gb, where, domain=domain, task=None if task is None else Task(task))
    installed = {pack.id for pack in ModelStore().installed()}
    if as_json:
        emit_json([card.to_json(where) | {"installed": card.id in installed} for card in cards])
        return
    columns = ("ID", "Tasks", "Download", "Memory", "Licence", "Score", "Installed", "Note")
    title = f"For {'an accelerator' if where == 'cuda' else 'a CPU'} with {memory_gb:.0f} GB"
    emit_table(title, columns, [_row(card, where, installed) for card in cards])
    if not cards:
        note("Nothing of the catalogue fits. The starter packs run anywhere: models pull starter")
    note("Pull one with: vlmtool-cli models pull ID (* its terms ask for your consent)")


def _row(card: Recommended, device: str, installed: set[str]) -> list[Any]:
    score = card.scores[0] if card.scores else None
    return [
        card.id,
        ", ".join(card.tasks),
        _size(card.download_bytes),
        _size(card.memory_bytes(device)),
        f"{card.licence}{' *' if card.consent else ''}",
        f"{score.value:g} {score.measure} ({score.source})" if score else "",
        "yes" if card.id in installed else "no",
        card.note,
    ]


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
