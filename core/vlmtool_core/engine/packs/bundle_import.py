"""Packs as one file for machines without a network: taking them from it, all or none."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.engine.packs import bundle_manifest as manifest
from vlmtool_core.engine.packs import signatures
from vlmtool_core.engine.packs.bundle_manifest import MANIFEST, SIGNATURE, BundledPack
from vlmtool_core.engine.packs.bundles import CHUNK, BundleMeter
from vlmtool_core.engine.packs.licences import Consent, consent_to_bundled
from vlmtool_core.engine.packs.pack import (
    PACK_FILE,
    Pack,
    PackFile,
    now,
    read_pack,
    verify_pack,
    write_pack,
)
from vlmtool_core.engine.packs.store_folders import check_space, incoming_folder, publish
from vlmtool_core.engine.packs.wheels import storage_error
from vlmtool_core.errors import PackIntegrityError, UsageError
from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress

_MOST_LIST_BYTES = 64 << 20
_LINK = 0o120000
_TYPE = 0o170000
# What reading a damaged zip file ends in.
_DAMAGE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of a bundle.

    present : packs that were there before, whole
    signed_by : short print of the key that signed it, "" if nobody did
    """

    packs: tuple[Pack, ...]
    present: tuple[str, ...]
    signed_by: str


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
            meter = BundleMeter(progress, sum(p.size_bytes for p in packs), cancel or CancelToken())
            found, present = _install(root, archive, packs, bundle, meter, accepted=accept_licence)
    except FileNotFoundError as error:
        raise UsageError("there is no such file", path=bundle) from error
    except _DAMAGE as error:
        raise _damaged(bundle, error) from error
    except OSError as error:
        # A place in the file that cannot be, as only a damaged directory names it.
        raise (
            _damaged(bundle, error)
            if error.errno in {None, errno.EINVAL}
            else storage_error(error, bundle)
        ) from error
    meter.finish("imported")
    return Imported(tuple(found), tuple(present), signer)


def _damaged(bundle: Path, error: Exception) -> PackIntegrityError:
    return PackIntegrityError(
        f"is no bundle, or a damaged one: {error or 'it ends early'}",
        path=bundle,
        remedy="Copy the bundle again from where it was made.",
    )


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
    meter: BundleMeter,
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
    meter: BundleMeter,
) -> None:
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(pack.member(file)) as source, target.open("xb") as output:
        while part := source.read(CHUNK):
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
