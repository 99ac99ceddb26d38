"""Packs as one file for machines without a network: writing it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vlmtool_core.engine.packs import bundle_manifest as manifest
from vlmtool_core.engine.packs import signatures
from vlmtool_core.engine.packs.bundle_manifest import MANIFEST, SIGNATURE, BundledPack, Signature
from vlmtool_core.engine.packs.pack import PACK_FILE, Pack, PackFile, pack_bytes
from vlmtool_core.engine.packs.wheels import storage_error
from vlmtool_core.errors import PackIntegrityError, UsageError
from vlmtool_core.jobs import CancelToken, Progress, ProgressCallback, ProgressMeter, no_progress

_MEGABYTE = 1_000_000
CHUNK = 1 << 20
# Of every member, so that the same packs give the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


class BundleMeter:
    """Progress in megabytes, and the place where a cancel is heard."""

    def __init__(self, progress: ProgressCallback, total: int, cancel: CancelToken) -> None:
        self._meter = ProgressMeter(progress, max(1, total // _MEGABYTE))
        self._progress = progress
        self._cancel = cancel
        self._bytes = 0

    def step(self, count: int, message: str) -> None:
        self._cancel.check()
        self._bytes += count
        self._meter.step(self._bytes // _MEGABYTE - self._meter.done, message=message)

    def finish(self, message: str) -> None:
        total = self._meter.total or 1
        self._progress(Progress(total, total, message))


def export_bundle(
    packs: Sequence[Pack],
    target: Path,
    *,
    key: Path | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> int:
    """Write packs into one file, whole or not at all, and return its size in bytes.

    Parameters
    ----------
    key : a private key to sign it with

    Raises
    ------
    UsageError : no packs, or the file is there already. StorageError, CancelledError
    PackIntegrityError : a file of a pack is missing or changed.
    """
    if not packs:
        raise UsageError("name the packs to export", field="ID")
    if target.exists():
        raise UsageError("there is such a file already", path=target, field="--output")
    private = None if key is None else signatures.read_private_key(key)
    cards = [_card_to_bundle(pack) for pack in packs]
    entries = [
        manifest.bundled(pack, _as_file(PACK_FILE, card))
        for pack, card in zip(packs, cards, strict=True)
    ]
    contents = manifest.manifest_bytes(entries)
    meter = BundleMeter(
        progress, sum(entry.size_bytes for entry in entries), cancel or CancelToken()
    )
    with _new_file(target) as file, zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        _write(archive, MANIFEST, contents)
        if private is not None:
            raw = signatures.raw_public_key(private.public_key())
            signature = Signature(raw, private.sign(contents))
            _write(archive, SIGNATURE, manifest.signature_bytes(signature))
        for pack, entry, card in zip(packs, entries, cards, strict=True):
            _write(archive, f"{entry.folder}/{PACK_FILE}", card)
            for one in pack.files:
                _copy_in(archive, pack, one, entry, meter)
    meter.finish("exported")
    return target.stat().st_size


def _card_to_bundle(pack: Pack) -> bytes:
    """`pack.toml` as it travels: no folder and no user of this machine."""
    source = pack.source
    if source.startswith("folder "):
        source = f"folder {Path(source.removeprefix('folder ')).name}"
    return pack_bytes(
        dataclasses.replace(
            pack,
            source=source,
            location=pack.path,
            installed_at="",
            licence_accepted_by="",
        )
    )


def _as_file(name: str, data: bytes) -> PackFile:
    return PackFile(name, hashlib.sha256(data).hexdigest(), len(data))


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_STORED
    info.external_attr = 0o100644 << 16
    info.file_size = size
    return info


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_entry(name, len(data)), data)


def _copy_in(
    archive: zipfile.ZipFile, pack: Pack, file: PackFile, entry: BundledPack, meter: BundleMeter
) -> None:
    path, digest = pack.file(file.name), hashlib.sha256()
    try:
        source = path.open("rb")
    except OSError as error:
        raise PackIntegrityError(f"a file of pack {pack.id} is missing", path=path) from error
    with source, archive.open(_entry(entry.member(file), file.size), "w") as target:
        while part := source.read(CHUNK):
            digest.update(part)
            target.write(part)
            meter.step(len(part), f"{pack.id}: writing")
    if digest.hexdigest() != file.sha256:
        raise PackIntegrityError(f"a file of pack {pack.id} has changed", path=path)
