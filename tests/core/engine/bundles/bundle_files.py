"""Packs without a model in them, and bundles that are made anew after they were changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.packs.pack import Pack, PackFile, write_pack
from vlmtool_core.errors import PackIntegrityError
from vlmtool_core.records import Task

CONTENT = {
    "model.safetensors": random.Random(1).randbytes(2_100_000),
    "config.json": b"{}",
    "LICENSE": b"Terms.",
    "parts/one.bin": b"",
}


def install(store: ModelStore, pack_id: str, **changes: object) -> Pack:
    """A pack of a few files in the store, without any family looking at it."""
    folder = store.root / pack_id / "1.0"
    for name, data in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    files = tuple(
        PackFile(name, hashlib.sha256(data).hexdigest(), len(data))
        for name, data in CONTENT.items()
    )
    pack = Pack(
        pack_id, "1.0", "Test", "timm", (Task.CLASSIFY,), "mit", ("LICENSE",), "hub a/b", "", files,
        folder, folder, {"size": 3}, memory_bytes=9, revision="c" * 40,
    )  # fmt: skip
    pack = dataclasses.replace(pack, **changes)
    write_pack(pack, folder)
    return store.pack(pack_id)


def stored(store: ModelStore) -> dict[str, bytes]:
    if not store.root.exists():
        return {}
    return {
        path.relative_to(store.root).as_posix(): path.read_bytes()
        for path in sorted(store.root.rglob("*"))
        if path.is_file()
    }


Entries = dict[str, tuple[zipfile.ZipInfo, bytes]]


def rewritten(
    bundle: Path, change: Callable[[Entries, dict], None], *, compress: bool = False
) -> Path:
    """The bundle made anew after `change` had its way with members and list of contents."""
    with zipfile.ZipFile(bundle) as archive:
        entries = {i.filename: (i, archive.read(i)) for i in archive.infolist()}
    listing = json.loads(entries["manifest.json"][1])
    change(entries, listing)
    entries["manifest.json"] = (entries["manifest.json"][0], json.dumps(listing).encode())
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, (info, data) in entries.items():
            new = zipfile.ZipInfo(name)
            new.external_attr = info.external_attr
            archive.writestr(new, data, zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)
    return bundle


def put(entries: Entries, listing: dict, name: str, data: bytes, mode: int = 0o100644) -> None:
    """A file of pack "one" under this name, with its right hash."""
    info = zipfile.ZipInfo(f"one/1.0/{name}")
    info.external_attr = mode << 16
    entries[info.filename] = (info, data)
    digest = hashlib.sha256(data).hexdigest()
    listing["packs"][0]["files"].append({"name": name, "size": len(data), "sha256": digest})


def refused(store: ModelStore, bundle: Path, match: str) -> PackIntegrityError:
    before = stored(store)
    with pytest.raises(PackIntegrityError, match=match) as caught:
        store.import_bundle(bundle)
    assert str(bundle) in str(caught.value)
    assert stored(store) == before
    assert not list(store.root.glob(".incoming-*"))
    return caught.value
