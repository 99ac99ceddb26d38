"""The size of batches is found by doubling, kept, and made smaller where memory runs out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_clip import save_tiny_clip

from vlmtool_core.batch import RunSpec
from vlmtool_core.batch.feature_predictor import predictor_for
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.engine.runtime import batch_sizes
from vlmtool_core.engine.runtime.agreement import pictures
from vlmtool_core.errors import EngineMemoryError
from vlmtool_core.records import Frame, Label, Outcome, Task


class Clock:
    """Seconds that the model below takes."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Model(Engine):
    """Embeds nothing; takes the time, and the memory, that it is told to take."""

    clock: Clock
    fits = 10**9

    def seconds(self, count: int) -> float:
        return 0.05 + 0.01 * count

    def embed(self, frames: Sequence[Frame], **_: Any) -> list[Outcome]:
        self.tried.append(len(frames))
        if len(frames) > self.fits:
            return [Outcome.failed(EngineMemoryError("memory ran out"))] * len(frames)
        self.clock.now += self.seconds(len(frames))
        return [Outcome.failed(ValueError("nothing"))] * len(frames)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("store"))
    store.add_folder(save_tiny_clip(tmp_path_factory.mktemp("packs") / "clip"), "clip")
    return store


@pytest.fixture
def model(store: ModelStore, home: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    engine = Model(store, device="cpu")
    engine.clock, engine.tried = Clock(), []
    monkeypatch.setattr(batch_sizes, "time", engine.clock)
    return engine


def test_it_doubles_while_that_gains(model: Model) -> None:
    # 16.7, 28.6, 44, 61, 76 (a batch of 16 takes 0.21 s), 86, then 93 with 0.69 s
    assert model.batch_size(Task.EMBED, model="clip") == 64
    assert model.tried == [1, 1, 2, 4, 8, 16, 32, 64]


def test_it_stops_where_nothing_is_gained(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "seconds", lambda count: 0.01 * max(count, 4))
    assert model.batch_size(Task.EMBED, model="clip") == 4
    assert max(model.tried) == 16


def test_a_batch_takes_a_second_at_most(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "seconds", lambda count: 2 + 0.001 * count)
    assert model.batch_size(Task.EMBED, model="clip") == 1
    assert model.tried == [1, 1]


def test_what_does_not_fit_is_not_used(model: Model) -> None:
    model.fits = 8
    assert model.batch_size(Task.EMBED, model="clip") == 8


def test_it_is_found_once_for_a_model_and_a_task(model: Model, home: Path) -> None:
    first = model.batch_size(Task.EMBED, model="clip")
    tried = len(model.tried)
    assert model.batch_size(Task.EMBED, model="clip") == first
    assert len(model.tried) == tried
    (home / "cache" / "batch_sizes.json").write_text("[")
    assert model.batch_size(Task.EMBED, model="clip") == first
    assert len(model.tried) == 2 * tried


def test_texts_are_not_timed(model: Model) -> None:
    assert model.batch_size(Task.CAPTION, model="clip") == batch_sizes.USUAL
    assert model.tried == []


def test_a_run_uses_it_and_remembers_what_did_not_fit(model: Model) -> None:
    predictor = Predictor(model, RunSpec(Task.EMBED, model="clip"), batch_size=0)
    assert predictor.batch_size == 64
    model.fits = 3
    predictor([*pictures()])
    assert predictor.batch_size == 2
    assert Predictor(model, RunSpec(Task.EMBED, model="clip"), batch_size=0).batch_size == 2


def test_a_size_that_was_asked_for_is_kept_to(model: Model) -> None:
    predictor = Predictor(model, RunSpec(Task.EMBED, model="clip"), batch_size=5)
    assert predictor.batch_size == 5
    assert model.tried == []


def test_a_run_with_labels_is_timed_by_its_embeddings(model: Model) -> None:
    spec = RunSpec(Task.CLASSIFY, model="clip", labels=(Label("cat"),))
    assert predictor_for(model, spec, batch_size=0).batch_size == 64


def test_on_a_real_model_it_is_a_size_within_bounds(store: ModelStore, home: Path) -> None:
    size = Engine(store, device="cpu").batch_size(Task.EMBED, model="clip")
    assert 1 <= size <= batch_sizes.MOST["cpu"]
