"""A model store of one's own, and the odd pictures that every family must get right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.records import Frame

sys.path.insert(0, str(Path(__file__).parent))

from tiny import odd_frames


@pytest.fixture(scope="module", autouse=True)
def _seed() -> None:
    """Models that a module's fixtures make are the same in every run."""
    import torch

    torch.manual_seed(7)


@pytest.fixture(scope="session")
def odd_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    """Wide, tall, EXIF-rotated, one pixel high, grey, one pixel."""
    return odd_frames(tmp_path_factory.mktemp("odd"))


@pytest.fixture
def engine_of(tmp_path: Path) -> Callable[..., Engine]:
    """An engine on the CPU whose store holds these folders, each under its folder's name."""

    def build(*folders: Path) -> Engine:
        store = ModelStore(tmp_path / "models")
        for folder in folders:
            store.add_folder(folder, folder.name)
        return Engine(store, device="cpu")

    return build
