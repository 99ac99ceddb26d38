"""Packs in one file: there and back, signed and not, and everything that may be wrong with one."""

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
from vlmtool_core.engine.packs import Pack, PackFile, write_pack
from vlmtool_core.engine.signatures import make_keys
from vlmtool_core.errors import (
    CancelledError,
    LicenceError,
    MissingPackError,
    PackIntegrityError,
    StorageError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken, Progress
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


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "models", cards={})
    install(made, "one")
    install(made, "two", memory_bytes=0, revision="")
    return made


@pytest.fixture
def other(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "elsewhere" / "models", cards={})


@pytest.fixture
def bundle(store: ModelStore, tmp_path: Path) -> Path:
    store.export_bundle(["one", "two"], tmp_path / "packs.vlmpack")
    return tmp_path / "packs.vlmpack"


def stored(store: ModelStore) -> dict[str, bytes]:
    if not store.root.exists():
        return {}
    return {
        path.relative_to(store.root).as_posix(): path.read_bytes()
        for path in sorted(store.root.rglob("*"))
        if path.is_file()
    }


def test_there_and_back(store, other, bundle):
    seen: list[Progress] = []
    found = other.import_bundle(bundle, progress=seen.append)
    assert [pack.id for pack in found.packs] == ["one", "two"]
    assert (found.present, found.signed_by) == ((), "")
    for name in ("one", "two"):
        before, after = store.pack(name), other.verify(name)
        assert after.fingerprint == before.fingerprint
        assert after.installed_at
        assert (
            dataclasses.replace(
                after, path=before.path, location=before.location, installed_at=before.installed_at
            )
            == before
        )
    assert seen[-1].done == seen[-1].total == 4
    assert sorted(path.name for path in other.root.iterdir()) == ["one", "two"]


def test_the_same_packs_give_the_same_bytes(store, bundle, tmp_path):
    size = store.export_bundle(["one", "two"], tmp_path / "again.vlmpack")
    assert (tmp_path / "again.vlmpack").read_bytes() == bundle.read_bytes()
    assert size == bundle.stat().st_size
    with zipfile.ZipFile(bundle) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_what_is_there_is_left_alone_and_what_is_broken_repaired(store, bundle):
    card = (store.root / "one" / "1.0" / "pack.toml").read_bytes()
    (store.root / "two" / "1.0" / "config.json").write_bytes(b"broken")
    found = store.import_bundle(bundle)
    assert found.present == ("one",)
    assert (store.root / "one" / "1.0" / "pack.toml").read_bytes() == card
    assert store.verify("two")


def test_a_folder_in_place_travels_without_the_name_of_the_users_folder(store, other, tmp_path):
    home = tmp_path / "alice" / "my model"
    source = store.pack("one")
    for file in source.files:
        (home / file.name).parent.mkdir(parents=True, exist_ok=True)
        (home / file.name).write_bytes(source.file(file.name).read_bytes())
    write_pack(dataclasses.replace(source, location=home, source=f"folder {home}"), source.path)
    store.export_bundle(["one"], tmp_path / "one.vlmpack")
    assert b"alice" not in (tmp_path / "one.vlmpack").read_bytes()
    pack = other.import_bundle(tmp_path / "one.vlmpack").packs[0]
    assert pack.source == "folder my model"
    assert pack.location == pack.path


def test_terms_travel_as_a_question(store, other, tmp_path):
    install(store, "three", licence="gemma", licence_accepted_at="2026", licence_accepted_by="eve")
    target = tmp_path / "three.vlmpack"
    store.export_bundle(["three"], target)
    assert b"eve" not in target.read_bytes()
    with pytest.raises(LicenceError, match="licence gemma") as caught:
        other.import_bundle(target)
    assert "--accept-licence" in caught.value.remedy
    assert stored(other) == {}
    pack = other.import_bundle(target, accept_licence=True).packs[0]
    assert pack.licence_accepted_at > "2026-"
    assert pack.licence_accepted_by not in {"", "eve"}


# What export refuses ------------------------------------------------------------------------


def test_a_changed_pack_is_not_exported(store, tmp_path):
    (store.root / "one" / "1.0" / "config.json").write_bytes(b"[]")
    with pytest.raises(PackIntegrityError, match="has changed"):
        store.export_bundle(["one"], tmp_path / "x.vlmpack")
    (store.root / "one" / "1.0" / "config.json").unlink()
    with pytest.raises(PackIntegrityError, match="missing"):
        store.export_bundle(["one"], tmp_path / "x.vlmpack")
    with pytest.raises(MissingPackError):
        store.export_bundle(["nothing"], tmp_path / "x.vlmpack")
    with pytest.raises(UsageError):
        store.export_bundle([], tmp_path / "x.vlmpack")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "vlmtool-home"]


def test_an_older_file_is_not_overwritten(store, bundle):
    before = bundle.read_bytes()
    with pytest.raises(UsageError, match="already"):
        store.export_bundle(["one"], bundle)
    assert bundle.read_bytes() == before


def test_cancel_leaves_nothing(store, other, bundle, tmp_path):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        store.export_bundle(["one"], tmp_path / "x.vlmpack", cancel=cancel)
    assert not list(tmp_path.glob("*x.vlmpack*"))
    with pytest.raises(CancelledError):
        other.import_bundle(bundle, cancel=cancel)
    assert stored(other) == {}


# What import refuses ------------------------------------------------------------------------


def refused(store: ModelStore, bundle: Path, match: str) -> PackIntegrityError:
    before = stored(store)
    with pytest.raises(PackIntegrityError, match=match) as caught:
        store.import_bundle(bundle)
    assert str(bundle) in str(caught.value)
    assert stored(store) == before
    assert not list(store.root.glob(".incoming-*"))
    return caught.value


@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_byte_anywhere_is_found(other, bundle, seed):
    data = bytearray(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as archive:
        info = archive.getinfo("one/1.0/model.safetensors")
        start = info.header_offset + 30 + len(info.filename)
    place = random.Random(seed).randrange(start, start + info.file_size)
    data[place] ^= 1
    bundle.write_bytes(data)
    refused(other, bundle, r"one/1\.0/model\.safetensors|damaged")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.9999])
def test_a_truncated_bundle(other, bundle, part):
    data = bundle.read_bytes()
    bundle.write_bytes(data[: int(len(data) * part)])
    error = refused(other, bundle, "no bundle|damaged")
    assert "Copy the bundle again" in error.remedy


def test_another_kind_of_file(other, tmp_path):
    for name, data in (("x.vlmpack", b"text"), ("y.vlmpack", b"")):
        (tmp_path / name).write_bytes(data)
        refused(other, tmp_path / name, "no bundle")
    with zipfile.ZipFile(tmp_path / "z.vlmpack", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(other, tmp_path / "z.vlmpack", r"no manifest\.json")
    with pytest.raises(UsageError, match="no such file"):
        other.import_bundle(tmp_path / "nothing.vlmpack")


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


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "a\\..\\evil", "C:evil", "a//b", "./x", "x\0y", "con?"]
)
def test_names_that_lead_out(other, bundle, name):
    refused(
        other, rewritten(bundle, lambda e, m: put(e, m, name, b"x")), "file name|not whole|damaged"
    )
    assert not list(other.root.parent.rglob("evil"))


def test_a_link(other, bundle):
    rewritten(bundle, lambda e, m: put(e, m, "link", b"/etc/passwd", 0o120777))
    refused(other, bundle, "no plain file")


def test_a_bomb_of_compressed_zeros(other, bundle):
    rewritten(bundle, lambda e, m: put(e, m, "zeros", b"\0" * 5_000_000), compress=True)
    refused(other, bundle, "compressed")


def test_sizes_that_lie(other, bundle):
    def larger(_entries: Entries, listing: dict) -> None:
        listing["packs"][0]["files"][1]["size"] = 10**15

    refused(other, rewritten(bundle, larger), "the list of contents says")


def test_too_much_and_too_little(other, bundle):
    copy = bundle.read_bytes()
    rewritten(bundle, lambda e, _m: e.update({"extra.bin": (zipfile.ZipInfo("extra.bin"), b"x")}))
    refused(other, bundle, r"extra\.bin' is too much")
    bundle.write_bytes(copy)
    rewritten(bundle, lambda e, _m: e.pop("two/1.0/LICENSE"))
    refused(other, bundle, r"two/1\.0/LICENSE is missing")


def test_a_card_that_speaks_of_other_files(other, bundle, tmp_path):
    def replace_card(old: bytes, new: bytes) -> Callable[[Entries, dict], None]:
        def change(entries: Entries, listing: dict) -> None:
            info, data = entries["one/1.0/pack.toml"]
            data = data.replace(old, new, 1)
            entries["one/1.0/pack.toml"] = (info, data)
            card = listing["packs"][0]["files"][0]
            card.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())

        return change

    copy = bundle.read_bytes()
    elsewhere = f'id = "one"\nlocation = "{tmp_path}"'.encode()
    for old, new, message in (
        (b'id = "one"', b'id = "two"', "another pack"),
        (b'id = "one"', elsewhere, "elsewhere"),
        (b'name = "config.json"', b'name = "../../x"', "other files"),
        (b'id = "one"', b"id = [", "damaged"),
    ):
        bundle.write_bytes(copy)
        rewritten(bundle, replace_card(old, new))
        with pytest.raises(PackIntegrityError, match=message):
            other.import_bundle(bundle)
        assert stored(other) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "zip"}, "no bundle of model packs"),
        ({"format_version": 2}, "newer version"),
        ({"packs": []}, "names nothing"),
        ({"packs": 3}, "damaged"),
        ({"packs": [{"id": "../x", "version": "1", "files": []}]}, "damaged"),
        ({"packs": [{"id": "x", "version": "../1", "files": []}]}, "file name"),
        ({"packs": [{"id": "x", "version": "1", "files": []}]}, "first file"),
    ],
)
def test_a_list_of_contents_that_is_wrong(other, bundle, change, message):
    refused(other, rewritten(bundle, lambda _e, m: m.update(change)), message)


def test_a_disk_that_is_too_small(other, bundle, monkeypatch):
    import shutil

    usage = shutil.disk_usage(bundle.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(StorageError, match="are needed"):
        other.import_bundle(bundle)


# Signatures ---------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private = tmp_path / "keys" / "mine.pem"
    return private, make_keys(private)


def test_a_signed_bundle_is_trusted_by_its_key_only(store, other, keys, tmp_path):
    private, public = keys
    strange = make_keys(tmp_path / "strange.pem")
    target = tmp_path / "signed.vlmpack"
    store.export_bundle(["one"], target, key=private)
    with pytest.raises(PackIntegrityError, match="another key"):
        other.import_bundle(target, trusted=[strange])
    assert stored(other) == {}
    found = other.import_bundle(target, trusted=[strange, public])
    assert len(found.signed_by) == 16
    assert private.stat().st_mode & 0o077 == 0


def test_an_unsigned_bundle_is_not_trusted(other, bundle, keys):
    with pytest.raises(PackIntegrityError, match="nobody signed"):
        other.import_bundle(bundle, trusted=[keys[1]])
    assert other.import_bundle(bundle).signed_by == ""


def test_a_list_of_contents_changed_after_signing(store, other, keys, tmp_path):
    target = tmp_path / "signed.vlmpack"
    store.export_bundle(["one"], target, key=keys[0])
    rewritten(target, lambda e, m: put(e, m, "extra.json", b"{}"))
    refused(other, target, "its signature is wrong")
    rewritten(
        target,
        lambda e, _m: e.update({"signature.json": (zipfile.ZipInfo("signature.json"), b"[")}),
    )
    refused(other, target, "signature is damaged")


def test_keys_are_never_overwritten_and_must_be_keys(store, other, bundle, keys, tmp_path):
    with pytest.raises(UsageError, match="already"):
        make_keys(keys[0])
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(UsageError, match="no public Ed25519 key"):
        other.import_bundle(bundle, trusted=[tmp_path / "no.pem"])
    with pytest.raises(UsageError, match="no private Ed25519 key"):
        store.export_bundle(["one"], tmp_path / "x.vlmpack", key=keys[1])
    with pytest.raises(UsageError, match="No such file"):
        store.export_bundle(["one"], tmp_path / "x.vlmpack", key=tmp_path / "nothing")
