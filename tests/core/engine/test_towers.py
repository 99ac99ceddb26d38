"""Other runtimes give the same answers, are told apart, and fail in words."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import save_tiny_clip

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.engine.runtime.agreement import pictures
from vlmtool_core.engine.runtime.numerics import Numerics
from vlmtool_core.errors import MissingDependencyError, UsageError
from vlmtool_core.records import Label, Task

LABELS = [Label("cat"), Label("dog")]
Build = Callable[..., Engine]
# Importing it here would let it report to its makers.
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="an optional library"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("store"))
    store.add_folder(save_tiny_clip(tmp_path_factory.mktemp("packs") / "clip"), "clip")
    return store


@pytest.fixture
def engine(store: ModelStore, home: Path) -> Build:
    def build(**wanted: object) -> Engine:
        return Engine(store, device="cpu", numerics=Numerics(**wanted))  # type: ignore[arg-type]

    return build


def vectors(engine: Engine) -> np.ndarray:
    return np.stack([o.embedding for o in engine.embed(pictures(), model="clip")])


@needs_openvino
def test_openvino_agrees_with_torch_and_is_converted_once(engine: Build, home: Path) -> None:
    plain, other = engine(), engine(backend="openvino")
    np.testing.assert_allclose(vectors(other), vectors(plain), atol=1e-4)
    outcome = other.classify(pictures()[:3], LABELS, model="clip")[0]
    assert outcome.provenance["backend"] == "openvino"
    (folder,) = (home / "cache" / "openvino").iterdir()
    assert other.identity(Task.EMBED, "clip").fingerprint == folder.name
    assert plain.identity(Task.EMBED, "clip").fingerprint != folder.name
    written = (folder / "tower.xml").stat().st_mtime_ns
    np.testing.assert_array_equal(vectors(engine(backend="openvino")), vectors(other))
    assert (folder / "tower.xml").stat().st_mtime_ns == written


@needs_openvino
def test_openvino_reports_to_nobody(
    engine: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("it tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    engine(backend="openvino").family("clip")
    assert sys.modules["openvino_telemetry"] is None
    assert not (tmp_path / "intel").exists()


@needs_openvino
def test_a_conversion_that_differs_is_refused(
    engine: Build, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmtool_core.engine.families.parts.towers.LEAST_COSINE", 1.1)
    with pytest.raises(UsageError, match="does not agree") as caught:
        engine(backend="openvino").family("clip")
    assert caught.value.field == "backend"
    assert not list((home / "cache" / "openvino").rglob("agreement.json"))


def test_openvino_that_is_missing_is_named(engine: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match="OpenVINO"):
        engine(backend="openvino").family("clip")


def test_what_cannot_be_compiled_runs_uncompiled_and_says_so(
    engine: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch._inductor.exc import CppCompileError

    def broken(_tower: object) -> Callable[..., object]:
        def run(*_: object, **__: object) -> object:
            raise CppCompileError(["g++"], "no compiler")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING):
        found = vectors(engine(compiled=True))
    assert "runs uncompiled" in caplog.text
    np.testing.assert_array_equal(found, vectors(engine()))


@pytest.mark.slow
def test_compiled_it_gives_the_same(engine: Build) -> None:
    np.testing.assert_allclose(vectors(engine(compiled=True)), vectors(engine()), atol=1e-5)
