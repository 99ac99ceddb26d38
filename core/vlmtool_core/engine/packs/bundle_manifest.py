"""The list of contents of a bundle: which packs, which files with which hashes.

A bundle is a zip file without compression: `manifest.json`, `signature.json` if it is signed
(over the bytes of `manifest.json`), then the packs' files as `<id>/<version>/<name>`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.engine.packs.pack import PACK_FILE, Pack, PackFile, check_id
from vlmtool_core.engine.packs.pack_files import check_name
from vlmtool_core.errors import PackIntegrityError, VlmtoolError
from vlmtool_core.json_codec import integer, mapping, required, sequence, text
from vlmtool_core.records import Json

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
FORMAT = "vlmpack"
FORMAT_VERSION = 1
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class BundledPack:
    """A pack in a bundle; the first of its files is its `pack.toml`."""

    id: str
    version: str
    files: tuple[PackFile, ...]

    @property
    def folder(self) -> str:
        return f"{self.id}/{self.version}"

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)

    def member(self, file: PackFile) -> str:
        """The name in the zip file."""
        return f"{self.folder}/{file.name}"


@dataclass(frozen=True, slots=True)
class Signature:
    """Raw Ed25519: the public key (32 bytes) and the signature (64 bytes)."""

    key: bytes
    value: bytes


def bundled(pack: Pack, card: PackFile) -> BundledPack:
    """The entry of a pack; `card` is its `pack.toml` as it is bundled."""
    return BundledPack(pack.id, pack.version, (card, *pack.files))


def manifest_bytes(packs: Sequence[BundledPack]) -> bytes:
    """`manifest.json`; the same packs give the same bytes."""
    value = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "packs": [
            {
                "id": pack.id,
                "version": pack.version,
                "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in pack.files],
            }
            for pack in packs
        ],
    }
    return json.dumps(value, indent=1, sort_keys=True).encode()


def read_manifest(data: bytes, bundle: Path) -> tuple[BundledPack, ...]:
    """The packs that a bundle says it holds; every name, size and hash is checked for form.

    Raises
    ------
    PackIntegrityError : names the field.
    """
    try:
        value = mapping(json.loads(data), "")
        _check_format(value)
        packs = sequence(required(value, "packs"), "packs", _pack)
    except PackIntegrityError as error:
        error.path = str(bundle)
        raise
    except (ValueError, RecursionError, VlmtoolError) as error:
        raise PackIntegrityError(f"its list of contents is damaged: {error}", path=bundle) from (
            error
        )
    members = [pack.member(file).casefold() for pack in packs for file in pack.files]
    folders = [pack.folder.casefold() for pack in packs]
    if not packs or len(set(members)) < len(members) or len(set(folders)) < len(folders):
        raise PackIntegrityError(
            "its list of contents names nothing, or something twice", path=bundle
        )
    return packs


def _check_format(value: Mapping[str, Json]) -> None:
    if value.get("format") != FORMAT:
        raise PackIntegrityError("is no bundle of model packs", field="format")
    if value.get("format_version") != FORMAT_VERSION:
        raise PackIntegrityError(
            "was made by a newer version of the program",
            field="format_version",
            remedy="Update vlmtool.",
        )


def _pack(value: Json, field: str) -> BundledPack:
    given = mapping(value, field)
    pack_id = check_id(text(required(given, "id", field), f"{field}.id"))
    version = check_name(text(required(given, "version", field), f"{field}.version"))
    files = sequence(required(given, "files", field), f"{field}.files", _file)
    if "/" in version or version.startswith("."):
        raise PackIntegrityError("is no version", field=f"{field}.version")
    if not files or files[0].name != PACK_FILE:
        raise PackIntegrityError(f"its first file is not {PACK_FILE}", field=field)
    return BundledPack(pack_id, version, files)


def _file(value: Json, field: str) -> PackFile:
    given = mapping(value, field)
    name = check_name(text(required(given, "name", field), f"{field}.name"))
    sha256 = text(required(given, "sha256", field), f"{field}.sha256")
    size = integer(required(given, "size", field), f"{field}.size")
    if len(sha256) != 64 or not set(sha256) <= _HEX or size < 0:
        raise PackIntegrityError("no hash or no size", field=field)
    return PackFile(name, sha256, size)


def signature_bytes(signature: Signature) -> bytes:
    """`signature.json`."""
    return json.dumps(
        {
            "algorithm": "Ed25519",
            "key": base64.b64encode(signature.key).decode(),
            "signature": base64.b64encode(signature.value).decode(),
        },
        indent=1,
    ).encode()


def read_signature(data: bytes, bundle: Path) -> Signature:
    """What `signature.json` holds; whether it is right is not checked here.

    Raises
    ------
    PackIntegrityError
    """
    try:
        value: Mapping[str, Json] = mapping(json.loads(data), "")
        key, signature = (
            base64.b64decode(text(required(value, name), name), validate=True)
            for name in ("key", "signature")
        )
    except (ValueError, RecursionError, binascii.Error, VlmtoolError) as error:
        raise PackIntegrityError(f"its signature is damaged: {error}", path=bundle) from error
    return Signature(key, signature)
