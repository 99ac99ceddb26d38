"""Isolation for every test: its own home, no network, offscreen Qt, only the plugins asked for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
STARTER_HOME = Path(os.environ.get("VLMTOOL_HOME", REPOSITORY / ".vlmtool-home")).absolute()
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh `VLMTOOL_HOME` for each test."""
    folder = tmp_path / "vlmtool-home"
    folder.mkdir()
    monkeypatch.setenv("VLMTOOL_HOME", str(folder))
    return folder


@pytest.fixture
def starter_home(home: Path) -> Path:
    """The test's home with the real starter packs in it (linked, so that nothing is copied)."""
    models = STARTER_HOME / "models"
    if not models.is_dir():
        pytest.fail("the starter packs are missing: run `make starter`")
    (home / "models").symlink_to(models)
    return home


@pytest.fixture
def shared_data() -> Path:
    """Real files with known truth, where they lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared test data are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only loopback and local sockets connect: nothing may leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
