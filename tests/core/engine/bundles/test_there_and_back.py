"""Packs go into one file and come out of it as they were; what export refuses."""

from __future__ import annotations

import dataclasses
import zipfile

import pytest
from bundle_files import install, stored

from vlmtool_core.engine.packs.pack import write_pack
from vlmtool_core.errors import (
    CancelledError,
    LicenceError,
    MissingPackError,
    PackIntegrityError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken, Progress


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
