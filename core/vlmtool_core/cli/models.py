"""`vlmtool-cli models`: pull, check and remove model packs; use the versions of a project."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.bundles import export_packs, import_packs, keygen
from vlmtool_core.cli.console import emit_json, emit_table, note, progress_on_stderr
from vlmtool_core.cli.families import list_families
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.cli.model_versions import history, rollback, use
from vlmtool_core.cli.models_torchvision import torchvision
from vlmtool_core.cli.recommend import recommend_packs
from vlmtool_core.engine import Card, ModelStore, Pack
from vlmtool_core.engine.packs.pack import verify_pack
from vlmtool_core.engine.packs.recommendation import Recommended, recommended
from vlmtool_core.engine.runtime.precision import all_decisions
from vlmtool_core.errors import PackIntegrityError
from vlmtool_core.records import Json


@click.group()
def models() -> None:
    """Model packs and model versions."""


for _command in (
    use,
    rollback,
    history,
    recommend_packs,
    list_families,
    export_packs,
    import_packs,
    keygen,
    torchvision,
):
    models.add_command(_command)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_packs(as_json: bool) -> None:
    """List the packs that are installed and those that can be pulled."""
    store = ModelStore()
    installed = {pack.id: pack for pack in store.installed()}
    missing = [card for name, card in store.cards.items() if name not in installed]
    for name, problem in store.damaged():
        note(f"{name}: {problem}. {problem.remedy}")
    rows = [_pack_values(pack) for pack in installed.values()]
    rows += [_card_values(card) for card in missing]
    rows += [_recommended_values(card) for card in recommended() if card.id not in installed]
    if as_json:
        emit_json(rows)
        return
    columns = ("ID", "Version", "Installed", "Tasks", "Size", "Licence", "Title")
    emit_table("Model packs", columns, [_row(values) for values in rows])


@models.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--accept-licence", is_flag=True, help="I have read the terms and accept them.")
@click.option("--id", "pack_id", help="Another name for the one repository that is pulled.")
def pull(ids: tuple[str, ...], accept_licence: bool, pack_id: str | None) -> None:
    """Install packs.

    ID is a pack of the catalogue (`models list`), a repository of the hub as org/name or
    org/name@revision, or `starter` for all starter packs. An interrupted download goes on where
    it stopped when the same command is given again.
    """
    with cancel_on_interrupt() as cancel, progress_on_stderr("Pulling (MB)") as progress:
        packs = ModelStore().pull(
            ids, progress, cancel, accept_licence=accept_licence, pack_id=pack_id
        )
    for pack in packs:
        note(f"{pack.id} {pack.version} is ready ({_size(pack.size_bytes)}, {pack.licence}).")


@models.command()
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.pass_context
def verify(ctx: click.Context, ids: tuple[str, ...]) -> None:
    """Check the files of packs (all installed ones when none is named)."""
    store = ModelStore()
    damaged = [] if ids else store.damaged()
    broken = [(name, error, f"vlmtool-cli models pull {name}") for name, error in damaged]
    for pack in [store.pack(name) for name in ids] or store.installed():
        try:
            verify_pack(pack)
        except PackIntegrityError as error:
            broken.append((pack.id, error, pack.repair_command))
        else:
            click.echo(f"{pack.id} {pack.version}: whole, {len(pack.files)} files")
    for pack_id, problem, remedy in broken:
        click.echo(f"{pack_id}: {problem}")
        click.echo(f"  What to do: {remedy}")
    if broken:
        ctx.exit(1)


@models.command()
@click.argument("pack_id", metavar="ID")
def remove(pack_id: str) -> None:
    """Delete a pack from this machine (a folder of your own is only forgotten)."""
    freed = ModelStore().remove(pack_id)
    note(f"Removed {pack_id}, {_size(freed)} freed.")


@models.command()
@click.argument("pack_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(pack_id: str, as_json: bool) -> None:
    """Show the card of a pack: tasks, licence, source and the hashes of its files."""
    store = ModelStore()
    card = store.cards.get(pack_id)
    better = next((one for one in recommended() if one.id == pack_id), None)
    if pack_id in {pack.id for pack in store.installed()}:
        values = _pack_values(store.pack(pack_id), details=True)
    elif card is not None:
        values = _card_values(card)
    elif better is not None:
        values = _recommended_values(better)
    else:
        values = _pack_values(store.pack(pack_id), details=True)
    if as_json:
        emit_json(values)
        return
    for name, value in values.items():
        if name == "files":
            for file in value:
                click.echo(f"file: {file['name']} ({_size(file['size'])}) sha256 {file['sha256']}")
        else:
            click.echo(f"{name}: {', '.join(value) if isinstance(value, list) else value}")


@models.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--id", "pack_id", help="The pack's id; the folder's name when left out.")
@click.option("--copy", is_flag=True, help="Copy the files instead of using them in place.")
def add(folder: Path, pack_id: str | None, copy: bool) -> None:
    """Register a local model in the layout of transformers (config.json and safetensors)."""
    pack = ModelStore().add_folder(folder, pack_id, copy=copy)
    tasks = ", ".join(task.value for task in pack.tasks)
    note(f"{pack.id} {pack.version} is ready; it serves {tasks}.")


def _pack_values(pack: Pack, *, details: bool = False) -> dict[str, Json]:
    values: dict[str, Json] = {
        "id": pack.id,
        "version": pack.version,
        "title": pack.title,
        "installed": True,
        "tasks": [task.value for task in pack.tasks],
        "size_bytes": pack.size_bytes,
        "licence": pack.licence,
        "source": pack.source,
        "family": pack.family,
        "input": pack.input,
    }
    for name in ("revision", "memory_bytes", "licence_accepted_at", "licence_accepted_by"):
        if value := getattr(pack, name):
            values[name] = value
    if details:
        values["folder"] = str(pack.location)
        values["fingerprint"] = pack.fingerprint
        if found := all_decisions(pack):
            values["precision"] = found
        values["licence_files"] = list(pack.licence_files)
        values["files"] = [
            {"name": file.name, "size": file.size, "sha256": file.sha256} for file in pack.files
        ]
    return values


def _card_values(card: Card) -> dict[str, Json]:
    return {
        "id": card.id,
        "version": card.version,
        "title": card.title,
        "installed": False,
        "tasks": [task.value for task in card.tasks],
        "size_bytes": card.download_bytes,
        "licence": card.licence,
        "source": str(card.source),
        "family": card.family,
        "input": card.input,
    }


def _recommended_values(card: Recommended) -> dict[str, Json]:
    return {
        "id": card.id,
        "version": card.revision,
        "title": card.title,
        "installed": False,
        "tasks": [task.value for task in card.tasks],
        "size_bytes": card.download_bytes,
        "licence": card.licence,
        "source": f"hub {card.repo}",
        "model_type": card.model_type,
        "note": card.note,
        "scores": [f"{one.value:g} {one.measure} ({one.source})" for one in card.scores],
    }


def _row(values: dict[str, Json]) -> list[str]:
    return [
        values["id"],
        values["version"],
        "yes" if values["installed"] else "no",
        ", ".join(values["tasks"]) or "helps others",
        _size(values["size_bytes"]),
        values["licence"],
        values["title"],
    ]


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
