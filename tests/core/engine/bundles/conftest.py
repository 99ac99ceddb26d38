"""A store with two packs, an empty one, and a bundle of the two."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.packs.signatures import make_keys

sys.path.insert(0, str(Path(__file__).parent))

from bundle_files import install


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


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private = tmp_path / "keys" / "mine.pem"
    return private, make_keys(private)
