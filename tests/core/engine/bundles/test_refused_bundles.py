"""Everything that may be wrong with a bundle: it is named, and the store stays as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import zipfile
from collections.abc import Callable

import pytest
from bundle_files import Entries, put, refused, rewritten, stored

from vlmtool_core.engine.packs.pack import write_pack
from vlmtool_core.errors import (
    PackIntegrityError,
    StorageError,
    UsageError,
)


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


def test_no_damage_ends_otherwise_than_in_a_named_error(store, other, bundle, tmp_path):
    """Bytes changed, cut off and put in anywhere: either every file is right, or nothing came."""
    small = tmp_path / "small.vlmpack"
    for name in ("model.safetensors", "parts/one.bin"):
        (store.root / "one" / "1.0" / name).unlink()
    pack = store.pack("one")
    files = tuple(file for file in pack.files if file.name in {"config.json", "LICENSE"})
    write_pack(dataclasses.replace(pack, files=files), pack.path)
    store.export_bundle(["one"], small)
    sound, rng, taken = small.read_bytes(), random.Random(3), 0
    for _ in range(400):
        data = bytearray(sound)
        for _ in range(rng.choice([1, 1, 4])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        elif rng.random() < 0.2:
            place = rng.randrange(len(data))
            data[place:place] = rng.randbytes(rng.randrange(1, 20))
        small.write_bytes(data)
        try:
            other.import_bundle(small)
        except PackIntegrityError:
            assert stored(other) == {}
        else:
            assert set(other.verify("one").files) == set(files)
            other.remove("one")
            taken += 1
    assert taken < 40


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
