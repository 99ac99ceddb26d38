"""bfloat16 is used only where it agrees with float32, and is told apart from it everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_clip import save_tiny_clip
from transformers import CLIPModel

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.engine.runtime import precision
from vlmtool_core.engine.runtime.agreement import agreement_of, pictures
from vlmtool_core.engine.runtime.numerics import Numerics
from vlmtool_core.engine.runtime.precision import Decision, all_decisions, decision_of, known
from vlmtool_core.engine.runtime.stopping import check_stopped, stoppable
from vlmtool_core.errors import CancelledError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import Box, Label, Outcome, OutcomeStatus, Score, Task

Build = Callable[..., Engine]
LABELS = [Label("cat"), Label("dog")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("packs") / "clip")


@pytest.fixture
def engine_in(tmp_path: Path, home: Path, folder: Path) -> Build:
    def build(wanted: str) -> Engine:
        store = ModelStore(tmp_path / "models")
        if not store.installed():
            store.add_folder(folder, "clip")
        return Engine(store, device="cpu", numerics=Numerics(wanted))

    return build


def vectors(engine: Engine) -> np.ndarray:
    return np.stack([o.embedding for o in engine.embed(pictures(), model="clip")])


def test_what_is_asked_for_is_used_and_told(engine_in: Build) -> None:
    exact, small = engine_in("float32"), engine_in("bfloat16")
    assert exact.family("clip").dtype == "float32"
    assert small.family("clip").dtype == "bfloat16"
    assert small.family("clip")._model.dtype == torch.bfloat16  # type: ignore[attr-defined]
    one, other = (e.classify(pictures()[:1], LABELS, model="clip")[0] for e in (exact, small))
    assert "dtype" not in one.provenance
    assert other.provenance["dtype"] == "bfloat16"
    names = [e.identity(Task.EMBED, "clip").fingerprint for e in (exact, small)]
    assert names[0] == exact.family("clip").pack.fingerprint
    assert names[1] == small.family("clip").fingerprint != names[0]
    cosines = (vectors(exact) * vectors(small)).sum(axis=1)
    assert 0.99 < cosines.min() < 1


def test_texts_of_one_precision_are_not_taken_for_the_others(engine_in: Build) -> None:
    rows = [engine_in(p).text_weights(LABELS, model="clip") for p in ("float32", "bfloat16")]
    assert not np.array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], engine_in("float32").text_weights(LABELS, model="clip"))


def test_auto_compares_once_and_keeps_what_it_found(
    engine_in: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_features", lambda: ("amx_bf16",))
    monkeypatch.setattr(precision, "LEAST_SPEEDUP", 0.0)
    compared: list[str] = []
    answers_of = precision.answers_of
    monkeypatch.setattr(
        precision, "answers_of", lambda f: (compared.append(f.dtype), answers_of(f))[1]
    )
    engine = engine_in("auto")
    family = engine.family("clip")
    found = decision_of(family.pack, "cpu")
    assert found is not None
    assert compared == ["float32", "float32", "bfloat16", "bfloat16"]
    assert found.agreement is not None
    assert found.speedup is not None
    assert found.dtype == family.dtype == "bfloat16"
    assert found.agreement >= 0.999
    assert "agreement with float32" in str(found)
    assert engine.identity(Task.EMBED, "clip").fingerprint == family.fingerprint
    assert engine_in("auto").family("clip").dtype == found.dtype
    assert len(compared) == 4


def test_auto_keeps_float32_where_bfloat16_differs(
    engine_in: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_features", lambda: ("amx_bf16",))
    monkeypatch.setattr("vlmtool_core.engine.runtime.agreement.LEAST_COSINE", 1.1)
    family = engine_in("auto").family("clip")
    found = decision_of(family.pack, "cpu")
    assert found is not None
    assert family.dtype == found.dtype == "float32"
    assert "differs" in found.reason


def test_a_comparison_that_was_stopped_is_made_again(
    engine_in: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_features", lambda: ("amx_bf16",))
    cancel = CancelToken()
    cancel.cancel()
    answers_of = precision.answers_of

    def stopped(family: Any) -> list[Outcome]:
        check_stopped()
        return answers_of(family)

    monkeypatch.setattr(precision, "answers_of", stopped)
    engine = engine_in("auto")
    with stoppable(cancel), pytest.raises(CancelledError):
        engine.family("clip")
    assert decision_of(engine._pack("clip"), "cpu") is None
    engine.family("clip")
    assert decision_of(engine._pack("clip"), "cpu") is not None


def test_auto_keeps_float32_where_it_gains_nothing(
    engine_in: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_features", lambda: ("amx_bf16",))
    monkeypatch.setattr(precision, "LEAST_SPEEDUP", 1e9)
    assert engine_in("auto").family("clip").dtype == "float32"
    monkeypatch.setattr(precision, "cpu_features", lambda: ())
    assert not precision.is_fast("cpu")
    pack = engine_in("auto").family("clip").pack
    found = known(pack, type(engine_in("auto").family("clip")), "auto", "cpu")
    assert found is not None
    assert found.dtype == "float32"


def test_weights_published_in_bfloat16_need_no_comparison(
    folder: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_features", lambda: ("amx_bf16",))
    model = CLIPModel.from_pretrained(folder, dtype=torch.bfloat16)
    published = tmp_path / "published"
    published.mkdir()
    for file in folder.iterdir():
        (published / file.name).write_bytes(file.read_bytes())
    model.save_pretrained(published)
    store = ModelStore(tmp_path / "models")
    store.add_folder(published, "published")
    engine = Engine(store, device="cpu", numerics=Numerics("auto"))
    assert engine.family("published").dtype == "bfloat16"
    assert decision_of(engine.family("published").pack, "cpu") is None


def _scores(*values: float) -> Outcome:
    scores = tuple(Score(f"l{n}", value) for n, value in enumerate(values))
    return Outcome(OutcomeStatus.OK, tuple(sorted(scores, key=lambda s: -s.score)))


def _boxes(*boxes: Sequence[Any]) -> Outcome:
    return Outcome(OutcomeStatus.OK, boxes=tuple(Box(*box) for box in boxes))


BOX = (10, 10, 110, 60, "cat", 0.8)


@pytest.mark.parametrize(
    ("one", "other", "agrees"),
    [
        (_scores(0.9, 0.1), _scores(0.89, 0.11), True),
        (_scores(0.9, 0.1), _scores(0.8, 0.2), False),
        (_scores(0.505, 0.495), _scores(0.495, 0.505), True),
        (_scores(0.52, 0.48), _scores(0.495, 0.505), False),
        (_boxes(BOX), _boxes((11, 10, 110, 60, "cat", 0.79)), True),
        (_boxes(BOX), _boxes((30, 10, 110, 60, "cat", 0.79)), False),
        (_boxes(BOX), _boxes((10, 10, 110, 60, "dog", 0.8)), False),
        (_boxes(BOX), _boxes((10, 10, 110, 60, "cat", 0.5)), False),
        (_boxes(BOX), Outcome(OutcomeStatus.EMPTY), False),
        (Outcome(OutcomeStatus.EMPTY), Outcome(OutcomeStatus.EMPTY), False),
        (_scores(0.9), Outcome(OutcomeStatus.FAILED), False),
    ],
)
def test_what_counts_as_agreement(one: Outcome, other: Outcome, agrees: bool) -> None:
    assert agreement_of([one], [other])[0] is agrees


def test_a_damaged_record_is_made_again(engine_in: Build, home: Path) -> None:
    pack = engine_in("float32").family("clip").pack
    precision._kept(pack, "cpu", Decision("bfloat16", "it agrees with float32", 0.9999, 2.0))
    assert decision_of(pack, "cpu") == Decision("bfloat16", "it agrees with float32", 0.9999, 2.0)
    (told,) = all_decisions(pack)
    assert told.startswith("cpu: bfloat16: it agrees with float32, agreement")
    (file,) = (home / "cache" / "precision").glob("*/*.json")
    file.write_text("{")
    assert decision_of(pack, "cpu") is None
    assert all_decisions(pack) == []
