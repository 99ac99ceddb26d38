"""The local model store: packs are pulled, checked, listed and removed here.

A pack lies at `<root>/<id>/<version>/` and is renamed into place whole or not at all.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core import paths
from vlmtool_core.engine.packs import preparation, wheels
from vlmtool_core.engine.packs.pack import (
    Card,
    Pack,
    check_id,
    read_pack,
    verify_pack,
    write_pack,
)
from vlmtool_core.engine.packs.store_folders import (
    children,
    incoming_folder,
    incoming_prefix,
    publish,
    sweep,
)
from vlmtool_core.engine.runtime.offline import stay_offline
from vlmtool_core.errors import MissingPackError, PackIntegrityError
from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.records import natural_key

if TYPE_CHECKING:
    from vlmtool_core.engine.packs.bundle_import import Imported

log = logging.getLogger(__name__)

# Before any family imports them: huggingface_hub reads its switch only once.
stay_offline()


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
            from vlmtool_core.engine.packs.plugin_cards import all_cards

            self._cards = all_cards()
        return self._cards

    def installed(self) -> list[Pack]:
        """All readable packs, newest version of each, ordered by id."""
        packs = []
        for folder in sorted(children(self.root)):
            try:
                packs.append(self.pack(folder.name))
            except (PackIntegrityError, MissingPackError) as error:
                log.warning("pack %s is left out: %s", folder.name, error)
        return packs

    def damaged(self) -> list[tuple[str, PackIntegrityError]]:
        """Folders of the store that hold no readable pack, and why."""
        found = []
        for folder in sorted(children(self.root)):
            try:
                self.pack(folder.name)
            except PackIntegrityError as error:
                found.append((folder.name, error))
            except MissingPackError:
                continue
        return found

    def pack(self, pack_id: str, version: str | None = None) -> Pack:
        """The installed pack (the version that came last, unless one is named).

        Raises
        ------
        MissingPackError : not installed.
        PackIntegrityError : its `pack.toml` is missing or damaged.
        """
        versions = [
            folder
            for folder in children(self.root / pack_id)
            if version is None or folder.name == version
        ]
        if not versions:
            raise MissingPackError(
                f"model pack {pack_id!r} is not installed", remedy=self._remedy(pack_id)
            )
        if len(versions) == 1:
            return read_pack(versions[0])
        return max(_readable(versions), key=lambda p: (p.installed_at, natural_key(p.version)))

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
            with tempfile.TemporaryDirectory(dir=self.root, prefix=incoming_prefix()) as bin_:
                folder.rename(Path(bin_) / "pack")
        except OSError as error:
            raise wheels.storage_error(error, folder) from error
        return freed

    def pull(
        self,
        ids: Sequence[str],
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
        *,
        accept_licence: bool = False,
        pack_id: str | None = None,
    ) -> list[Pack]:
        """Install packs of the catalogue or repositories of a hub (`org/name[@revision]`); what is
        there and whole costs only its check.

        Parameters
        ----------
        accept_licence : the user accepts the terms of all of them
        pack_id : another name for the one repository that is pulled

        Raises
        ------
        UsageError : unknown id, or a model that cannot be used.
        PackDownloadError : no network, no such distribution or repository.
        PackAccessError, LicenceError : the hub, or the terms, ask for something first.
        PackIntegrityError : a hash is wrong. StorageError : the disk is full or read-only.
        """
        from vlmtool_core.engine.packs.pulling import pull

        sweep(self.root)
        before = {pack.id for pack in self.installed()}
        packs = pull(
            self.root,
            self.cards,
            ids,
            progress,
            cancel or CancelToken(),
            accepted=accept_licence,
            pack_id=pack_id,
        )
        preparation.prepare(self, {pack.id for pack in packs} - before)
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
        from vlmtool_core.engine.packs.folder_packs import describe_folder
        from vlmtool_core.engine.packs.hub_packs import id_from

        folder = folder.absolute()
        pack = describe_folder(folder, check_id(pack_id or id_from(folder.name)))
        with incoming_folder(self.root) as incoming:
            target = incoming / "pack"
            target.mkdir()
            final = self.root / pack.id / pack.version
            location = final if copy else folder
            if copy:
                _copy_files(pack, target)
            write_pack(dataclasses.replace(pack, path=final, location=location), target)
            publish(target, final)
        return read_pack(final)

    def export_bundle(
        self,
        ids: Sequence[str],
        target: Path,
        *,
        key: Path | None = None,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> int:
        """Write installed packs (or all of a group, such as `starter`) into one file, and return
        its size in bytes; see `bundles.export_bundle`.

        Raises
        ------
        MissingPackError, PackIntegrityError, UsageError, StorageError, CancelledError
        """
        from vlmtool_core.engine.packs.bundles import export_bundle

        names: dict[str, None] = {}
        for name in ids:
            group = [card.id for card in self.cards.values() if name in card.groups]
            names.update(dict.fromkeys(group or [name]))
        packs = [self.pack(name) for name in names]
        return export_bundle(packs, target, key=key, progress=progress, cancel=cancel)

    def import_bundle(
        self,
        bundle: Path,
        *,
        trusted: Sequence[Path] = (),
        accept_licence: bool = False,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> Imported:
        """Install all packs of a bundle, or none; see `bundle_import.import_bundle`.

        Raises
        ------
        PackIntegrityError, LicenceError, UsageError, StorageError, CancelledError
        """
        from vlmtool_core.engine.packs.bundle_import import import_bundle

        sweep(self.root)
        found = import_bundle(
            self.root,
            bundle,
            trusted=trusted,
            accept_licence=accept_licence,
            progress=progress,
            cancel=cancel,
        )
        preparation.prepare(self, {pack.id for pack in found.packs} - set(found.present))
        return found

    def _remedy(self, pack_id: str) -> str:
        from vlmtool_core.engine.packs.recommendation import recommended

        card = self.cards.get(pack_id)
        if card is not None:
            return f"Run: vlmtool-cli models pull {card.groups[0] if card.groups else card.id}"
        if pack_id in {one.id for one in recommended()}:
            return f"Run: vlmtool-cli models pull {pack_id}"
        return "Choose one of: vlmtool-cli models list"


def _readable(versions: Sequence[Path]) -> list[Pack]:
    """The packs in these folders; damaged ones are left out while there is a sound one."""
    packs, damage = [], None
    for folder in versions:
        try:
            packs.append(read_pack(folder))
        except PackIntegrityError as error:
            log.warning("a version is left out: %s", error)
            damage = error
    if not packs and damage is not None:
        raise damage
    return packs


def _copy_files(pack: Pack, target: Path) -> None:
    for file in pack.files:
        (target / file.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack.file(file.name), target / file.name)
