"""One engine on the real starter packs for all tests of a process; pictures that packages carry."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.records import Frame

sys.path.insert(0, str(Path(__file__).parents[1]))

# Read when the tests are collected: each test gets a home of its own later.
_HOME = os.environ.get("VLMTOOL_HOME") or Path(__file__).resolve().parents[3] / ".vlmtool-home"
STARTER_MODELS = Path(_HOME).absolute() / "models"


@pytest.fixture(scope="session")
def starter_store() -> ModelStore:
    if not STARTER_MODELS.is_dir():
        pytest.fail("the starter packs are missing: run `make starter`")
    return ModelStore(STARTER_MODELS)


@pytest.fixture(scope="session")
def engine(starter_store: ModelStore) -> Engine:
    return Engine(starter_store, device="cpu")


@pytest.fixture(scope="session")
def photo() -> Callable[[str], Frame]:
    """A photograph of scikit-image or scikit-learn by name, as a frame."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    def load(name: str) -> Frame:
        if name in {"china", "flower"}:
            pixels = load_sample_image(f"{name}.jpg")
        else:
            pixels = getattr(skimage.data, name)()
        if pixels.ndim == 2:
            pixels = np.stack([pixels] * 3, axis=-1)
        return Frame(np.ascontiguousarray(pixels[..., :3]))

    return load
