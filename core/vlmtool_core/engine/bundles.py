"""Packs as one file for machines without a network: writing it, and taking packs from it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vlmtool_core.engine import bundle_manifest as manifest
from vlmtool_core.engine import signatures
from vlmtool_core.engine.bundle_manifest import MANIFEST, SIGNATURE, BundledPack, Signature
from vlmtool_core.engine.licences import Consent, consent_to_bundled
from vlmtool_core.engine.packs import (
    PACK_FILE,
    Pack,
    PackFile,
    now,
    pack_bytes,
    read_pack,
    verify_pack,
    write_pack,
)
from vlmtool_core.engine.store_folders import check_space, incoming_folder, publish
from vlmtool_core.engine.wheels import storage_error
from vlmtool_core.errors import PackIntegrityError, UsageError
from vlmtool_core.jobs import CancelToken, Progress, ProgressCallback, ProgressMeter, no_progress

SUFFIX = ".vlmpack"
_MEGABYTE = 1_000_000
_CHUNK = 1 << 20
_MOST_LIST_BYTES = 64 << 20
# Of every member, so that the same packs give the same file.
_DATE = (1980, 1, 1, 0, 0, 0)
_LINK = 0o120000
_TYPE = 0o170000


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of a bundle.

    present : packs that were there before, whole
    signed_by : short print of the key that signed it, "" if nobody did
    """

    packs: tuple[Pack, ...]
    present: tuple[str, ...]
    signed_by: str


class _Meter:
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
    meter = _Meter(progress, sum(entry.size_bytes for entry in entries), cancel or CancelToken())
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
    archive: zipfile.ZipFile, pack: Pack, file: PackFile, entry: BundledPack, meter: _Meter
) -> None:
    path, digest = pack.file(file.name), hashlib.sha256()
    try:
        source = path.open("rb")
    except OSError as error:
        raise PackIntegrityError(f"a file of pack {pack.id} is missing", path=path) from error
    with source, archive.open(_entry(entry.member(file), file.size), "w") as target:
        while part := source.read(_CHUNK):
            digest.update(part)
            target.write(part)
            meter.step(len(part), f"{pack.id}: writing")
    if digest.hexdigest() != file.sha256:
        raise PackIntegrityError(f"a file of pack {pack.id} has changed", path=path)


def import_bundle(
    root: Path,
    bundle: Path,
    *,
    trusted: Sequence[Path] = (),
    accept_licence: bool = False,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Imported:
    """Install all packs of a bundle, or none of them.

    Parameters
    ----------
    root : the model store
    trusted : public keys; when there are any, one of them must have signed the bundle
    accept_licence : the user accepts the terms of the packs that ask for it

    Raises
    ------
    PackIntegrityError : names what is damaged, changed, missing, too much or not signed.
    LicenceError : a pack's terms ask for consent.
    StorageError, CancelledError, UsageError
    """
    keys = [signatures.raw_public_key(signatures.read_public_key(path)) for path in trusted]
    try:
        with bundle.open("rb") as file, zipfile.ZipFile(file) as archive:
            contents = _read_member(archive, MANIFEST, bundle)
            signer = _check_signature(archive, contents, bundle, keys)
            packs = manifest.read_manifest(contents, bundle)
            _check_members(archive, packs, bundle)
            meter = _Meter(progress, sum(p.size_bytes for p in packs), cancel or CancelToken())
            found, present = _install(root, archive, packs, bundle, meter, accepted=accept_licence)
    except FileNotFoundError as error:
        raise UsageError("there is no such file", path=bundle) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise PackIntegrityError(
            f"is no bundle, or a damaged one: {error}",
            path=bundle,
            remedy="Copy the bundle again from where it was made.",
        ) from error
    except OSError as error:
        raise storage_error(error, bundle) from error
    meter.finish("imported")
    return Imported(tuple(found), tuple(present), signer)


def _read_member(archive: zipfile.ZipFile, name: str, bundle: Path) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise PackIntegrityError(
            f"is no bundle of model packs: it has no {name}", path=bundle
        ) from (error)
    if info.file_size > _MOST_LIST_BYTES or info.compress_type != zipfile.ZIP_STORED:
        raise PackIntegrityError(f"{name} is too large or compressed", path=bundle)
    return archive.read(info)


def _check_signature(
    archive: zipfile.ZipFile, contents: bytes, bundle: Path, trusted: Sequence[bytes]
) -> str:
    if SIGNATURE not in archive.namelist():
        if trusted:
            raise PackIntegrityError(
                "nobody signed this bundle",
                path=bundle,
                remedy="Ask for a signed one, or import without --trust if you know its origin.",
            )
        return ""
    signature = manifest.read_signature(_read_member(archive, SIGNATURE, bundle), bundle)
    if not signatures.is_signed_by(signature.key, signature.value, contents):
        raise PackIntegrityError(
            "its signature is wrong: the list of contents was changed after it was signed",
            path=bundle,
            remedy="Do not use it. Ask whoever made it for another copy.",
        )
    signer = signatures.short_print(signature.key)
    if trusted and signature.key not in trusted:
        raise PackIntegrityError(
            f"was signed by another key ({signer}) than those you trust",
            path=bundle,
            remedy="Ask whose key that is before you trust it.",
        )
    return signer


def _check_members(archive: zipfile.ZipFile, packs: Sequence[BundledPack], bundle: Path) -> None:
    """The zip file holds exactly what its list names, plain and uncompressed."""
    expected = {pack.member(file): file.size for pack in packs for file in pack.files}
    members = [info for info in archive.infolist() if info.filename not in {MANIFEST, SIGNATURE}]
    names = [info.filename for info in members]
    missing = sorted(expected.keys() - set(names))
    extra = sorted(set(names) - expected.keys())
    if missing or extra or len(set(names)) < len(names):
        what = (
            f"{missing[0]} is missing" if missing else f"{(extra or names)[0]!r:.100} is too much"
        )
        raise PackIntegrityError(f"the bundle is not whole: {what}", path=bundle)
    for info in members:
        _check_member(info, expected[info.filename], bundle)
    # Uncompressed members that do not overlap cannot be larger than the file that holds them.
    if sum(expected.values()) > bundle.stat().st_size:
        raise PackIntegrityError("its members overlap", path=bundle)


def _check_member(info: zipfile.ZipInfo, size: int, bundle: Path) -> None:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise PackIntegrityError(f"{info.filename} is compressed or encrypted", path=bundle)
    if (info.external_attr >> 16) & _TYPE == _LINK or info.is_dir():
        raise PackIntegrityError(f"{info.filename} is no plain file", path=bundle)
    if info.file_size != size or info.compress_size != size:
        raise PackIntegrityError(
            f"{info.filename} has {info.file_size} bytes, the list of contents says {size}",
            path=bundle,
        )


def _install(
    root: Path,
    archive: zipfile.ZipFile,
    packs: Sequence[BundledPack],
    bundle: Path,
    meter: _Meter,
    *,
    accepted: bool,
) -> tuple[list[Pack], list[str]]:
    present = [pack for pack in packs if _is_whole(root / pack.id / pack.version)]
    wanted = [pack for pack in packs if pack not in present]
    with incoming_folder(root) as incoming:
        check_space(incoming, sum(pack.size_bytes for pack in wanted), bundle.name)
        folders = [incoming / str(number) for number in range(len(wanted))]
        cards = []
        for pack, folder in zip(wanted, folders, strict=True):
            _copy_out(archive, pack, pack.files[0], folder, bundle, meter)
            cards.append(_card(folder, pack, root, bundle, accepted=accepted))
        for pack, folder in zip(wanted, folders, strict=True):
            for file in pack.files[1:]:
                _copy_out(archive, pack, file, folder, bundle, meter)
        for pack, folder, card in zip(wanted, folders, cards, strict=True):
            write_pack(card, folder)
            publish(folder, root / pack.id / pack.version)
    installed = [read_pack(root / pack.id / pack.version) for pack in packs]
    return installed, [pack.id for pack in present]


def _is_whole(folder: Path) -> bool:
    try:
        verify_pack(read_pack(folder))
    except PackIntegrityError:
        return False
    return True


def _copy_out(
    archive: zipfile.ZipFile,
    pack: BundledPack,
    file: PackFile,
    folder: Path,
    bundle: Path,
    meter: _Meter,
) -> None:
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(pack.member(file)) as source, target.open("xb") as output:
        while part := source.read(_CHUNK):
            size += len(part)
            if size > file.size:
                break
            digest.update(part)
            output.write(part)
            meter.step(len(part), f"{pack.id}: unpacking")
    if size != file.size or digest.hexdigest() != file.sha256:
        raise PackIntegrityError(
            f"{pack.member(file)} has changed since the bundle was made",
            path=bundle,
            remedy="Copy the bundle again from where it was made.",
        )


def _card(folder: Path, expected: BundledPack, root: Path, bundle: Path, *, accepted: bool) -> Pack:
    """The pack as it will be installed, if its bundled `pack.toml` speaks of these very files."""
    pack = read_pack(folder)
    where = f"{expected.folder}/{PACK_FILE}"
    if (pack.id, pack.version) != (expected.id, expected.version) or set(pack.files) != set(
        expected.files[1:]
    ):
        raise PackIntegrityError(f"{where} speaks of another pack or other files", path=bundle)
    if pack.location != folder:
        raise PackIntegrityError(f"{where} points to a folder elsewhere", path=bundle)
    given = Consent()
    if pack.licence_accepted_at:  # whoever pulled it had to accept the terms, so has this user
        given = consent_to_bundled(pack, bundle, accepted=accepted)
    final = root / pack.id / pack.version
    return dataclasses.replace(
        pack,
        path=final,
        location=final,
        installed_at=now(),
        licence_accepted_at=given.at,
        licence_accepted_by=given.by,
    )
