"""Predictions: written once, failures kept as failures and retried, the newest found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_core.errors import RecordNotFoundError
from vlmtool_core.json_codec import outcome_from_json, outcome_to_json
from vlmtool_core.records import (
    Box,
    ErrorInfo,
    Evidence,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
    TextLine,
)
from vlmtool_core.store.records import NewPrediction
from vlmtool_core.store.repository import Store

MODEL = ModelIdentity("m", "1", "f")


def ok(score: float = 0.5) -> Outcome:
    return Outcome(OutcomeStatus.OK, scores=(Score("cat", score),))


def start(store: Store, task: Task = Task.CLASSIFY, spec: str = "s") -> int:
    return store.runs.start(task, MODEL, {"spec": spec}, spec)


def test_a_run_is_counted_found_and_finished(store: Store, add_items) -> None:
    a, b, c = add_items(3)
    run = start(store)
    failure = Outcome.failed(ValueError("x"))
    rows = [NewPrediction(a, 0, ok()), NewPrediction(b, 0, Outcome(OutcomeStatus.EMPTY))]
    assert store.runs.add(run, [*rows, NewPrediction(c, 0, failure)]) == 3
    found = store.runs.get(run)
    assert (found.ok, found.empty, found.failed, found.ended_at) == (1, 1, 1, None)
    assert found.model == MODEL
    assert store.runs.find("s", MODEL) == found
    assert store.runs.find("other", MODEL) is None
    assert store.runs.find("s", dataclasses.replace(MODEL, fingerprint="g")) is None
    store.runs.finish(run)
    assert store.runs.get(run).ended_at is not None
    assert [r.id for r in store.runs.all()] == [run]
    with pytest.raises(RecordNotFoundError):
        store.runs.get(99)


@pytest.mark.parametrize("data", [False, 0, "cat", {"a": [1, None, "猫"]}])
def test_what_was_answered_is_kept(store: Store, add_items, data) -> None:
    (item,) = add_items(1)
    run = start(store, Task.ASK)
    scores = (Score("no", 0.9), Score("yes", 0.1))
    outcome = Outcome(OutcomeStatus.OK, text="no", data=data, scores=scores)
    store.runs.add(run, [NewPrediction(item, 0, outcome)])
    found = store.runs.newest([item])[item][0].outcome
    assert (found.data, type(found.data)) == (data, type(data))
    assert (found.text, found.scores) == ("no", scores)


def test_only_failures_are_overwritten(store: Store, add_items) -> None:
    a, b = add_items(2)
    run = start(store)
    store.runs.add(
        run, [NewPrediction(a, 0, ok(0.1)), NewPrediction(b, 0, Outcome.failed(OSError()))]
    )
    ids = [store.runs.of_item(i)[0].id for i in (a, b)]
    again = [NewPrediction(a, 0, ok(0.9)), NewPrediction(b, 0, ok(0.9))]
    assert store.runs.add(run, again) == 1
    assert store.runs.of_item(a)[0].outcome == ok(0.1)
    assert store.runs.of_item(b)[0].outcome == ok(0.9)
    assert [store.runs.of_item(i)[0].id for i in (a, b)] == ids
    assert store.runs.add(run, again) == 0


def test_a_score_that_is_no_number_is_a_failure_not_nothing(store: Store, add_items) -> None:
    (a,) = add_items(1)
    store.runs.add(start(store), [NewPrediction(a, 0, ok(float("nan")))])
    outcome = store.runs.of_item(a)[0].outcome
    assert outcome.status is OutcomeStatus.FAILED
    assert outcome.error is not None
    assert "no number" in outcome.error.message


def test_a_frame_twice_in_one_call_is_stored_once(store: Store, add_items) -> None:
    (a,) = add_items(1)
    assert store.runs.add(start(store), [NewPrediction(a, 0, ok()), NewPrediction(a, 0, ok())]) == 1


def test_the_newest_of_each_task_and_frame(store: Store, add_items) -> None:
    (a,) = add_items(1)
    first, detect, second = start(store), start(store, Task.DETECT), start(store)
    store.runs.add(first, [NewPrediction(a, f, ok(0.1)) for f in (0, 1)])
    store.runs.add(detect, [NewPrediction(a, 0, Outcome(OutcomeStatus.EMPTY))])
    store.runs.add(second, [NewPrediction(a, 0, Outcome.failed(OSError("gone")))])
    store.runs.add(start(store), [NewPrediction(a, 0, Outcome(OutcomeStatus.CANCELLED))])

    def runs(**conditions: object) -> list[tuple[int, int]]:
        return [(p.frame, p.run_id) for p in store.runs.of_item(a, **conditions)]

    assert runs() == [(0, second), (0, detect), (1, first)]
    assert runs(task=Task.CLASSIFY) == [(0, second), (1, first)]
    assert runs(frame=1) == [(1, first)]
    assert runs(run_id=first) == [(0, first), (1, first)]
    assert len(runs(newest_only=False)) == 5
    assert [p.run_id for p in store.runs.newest([a])[a]] == [second, detect, first]


def test_a_run_is_streamed_whole(store: Store, add_items) -> None:
    ids = add_items(50)
    run = start(store)
    store.runs.add(run, [NewPrediction(i, f, ok()) for i in reversed(ids) for f in (1, 0)])
    found = [(p.item_id, p.frame) for chunk in store.runs.of_run(run, chunk=7) for p in chunk]
    assert found == [(i, f) for i in ids for f in (0, 1)]
    frames = store.runs.frames(run)
    assert {(f.item_id, f.frame) for f in frames} == set(found)


numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
boxes = st.builds(
    lambda x, y, w, h, label, score: Box(x, y, x + w, y + h, label, score),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    texts,
    st.none() | st.floats(0, 1),
)
outcomes = st.builds(
    Outcome,
    st.sampled_from([OutcomeStatus.OK, OutcomeStatus.EMPTY]),
    scores=st.lists(st.builds(Score, texts, st.floats(0, 1)), max_size=4).map(tuple),
    boxes=st.lists(boxes, max_size=3).map(tuple),
    text=st.none() | texts,
    lines=st.lists(
        st.builds(
            TextLine,
            texts,
            st.lists(st.tuples(numbers, numbers), max_size=4).map(tuple),
            st.none() | st.floats(0, 1),
        ),
        max_size=3,
    ).map(tuple),
    evidence=st.lists(
        st.builds(Evidence, texts, texts, st.none() | st.floats(0, 1), st.none() | boxes),
        max_size=2,
    ).map(tuple),
    provenance=st.dictionaries(texts, st.one_of(numbers, texts, st.booleans()), max_size=3),
) | st.builds(
    lambda message: Outcome(OutcomeStatus.FAILED, error=ErrorInfo("x", message, "r", None, "f")),
    texts,
)


@settings(deadline=None)
@given(outcomes)
def test_an_outcome_survives_json(outcome: Outcome) -> None:
    assert outcome_from_json(outcome_to_json(outcome)) == outcome


def test_an_outcome_survives_the_store(store: Store, add_items) -> None:
    ids = iter(add_items(60))
    run = start(store, Task.EMBED)

    @settings(max_examples=50, deadline=None, database=None)
    @given(outcomes)
    def check(outcome: Outcome) -> None:
        item = next(ids, None)
        if item is None:
            return
        store.runs.add(run, [NewPrediction(item, 0, outcome, 1.5, "s", (3, 4))])
        (found,) = store.runs.of_item(item)
        assert (found.outcome, found.time_s, found.sha256, found.size) == (
            outcome,
            1.5,
            "s",
            (3, 4),
        )

    check()


def test_an_embedding_survives_exactly(store: Store, add_items) -> None:
    (a,) = add_items(1)
    vector = np.random.default_rng(0).normal(size=1280).astype(np.float32)
    store.runs.add(
        start(store, Task.EMBED), [NewPrediction(a, 0, Outcome(OutcomeStatus.OK, embedding=vector))]
    )
    found = store.runs.of_item(a)[0].outcome.embedding
    assert found is not None
    assert found.dtype == np.float32
    assert np.array_equal(found, vector)
    again = outcome_from_json(outcome_to_json(Outcome(OutcomeStatus.OK, embedding=vector)))
    assert np.array_equal(again.embedding, vector)
