"""RunSpec: JSON round trip, fingerprint, and refusal of wrong values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.errors import FormatError, UsageError
from vlmtool_core.records import RUN_TASKS, Label, Task

texts = st.text(min_size=1, max_size=12)
labels = st.lists(
    st.builds(Label, texts, st.tuples(texts), texts, texts, texts),
    max_size=4,
    unique_by=lambda label: label.name,
).map(tuple)
specs = st.builds(
    RunSpec,
    st.sampled_from(RUN_TASKS),
    st.none() | texts,
    labels,
    st.booleans(),
    st.just("why?"),
    st.none() | texts,
    st.none() | st.floats(0, 1),
    st.none() | st.just(Path("/heads/v1")),
    st.none() | texts,
    st.sampled_from(["first", "every", "all"]),
    st.floats(0.01, 1e6),
)


@given(specs)
def test_json_round_trip(spec: RunSpec) -> None:
    again = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.fingerprint() == spec.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"task": Task.DETECT},
        {"model": "other"},
        {"labels": (Label("cat"), Label("dog"))},
        {"labels": (Label("cat", ("a small cat",)),)},
        {"exclusive": False},
        {"threshold": 0.5},
        {"frames": "all"},
        {"sample_s": 1.0},
        {"head_version": "v2"},
    ],
)
def test_what_changes_results_changes_the_fingerprint(change: dict[str, object]) -> None:
    spec = RunSpec(Task.CLASSIFY, labels=(Label("cat"),))
    assert replace(spec, **change).fingerprint() != spec.fingerprint()


SCHEMA = {
    "type": "object",
    "properties": {"b": {"type": "boolean"}, "a": {"type": "integer"}},
    "required": ["b"],
}


@pytest.mark.parametrize(
    "answer",
    [AnswerShape.yes_no(), AnswerShape.one_of(["b", "a"]), AnswerShape.of_schema(SCHEMA)],
)
def test_the_form_of_answers_travels_and_counts(answer: AnswerShape) -> None:
    plain = RunSpec(Task.ASK, question="why?")
    spec = replace(plain, answer=answer)
    again = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.fingerprint() == spec.fingerprint() != plain.fingerprint()


def test_the_order_of_a_schemas_properties_counts() -> None:
    other = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}
    specs = [
        RunSpec(Task.ASK, question="why?", answer=AnswerShape.of_schema(schema))
        for schema in (SCHEMA, other)
    ]
    assert specs[0].fingerprint() != specs[1].fingerprint()


def test_a_run_without_a_form_keeps_the_fingerprint_it_always_had() -> None:
    spec = RunSpec(Task.ASK, question="why?")
    known = "0c295df862260672f707933c0470e65f12d51133ef6bb580df2ffb9c997d1238"
    assert spec.fingerprint() == known


def test_looks_and_places_do_not_change_the_fingerprint() -> None:
    plain = RunSpec(Task.CLASSIFY, labels=(Label("cat"),), sample_s=2)
    coloured = replace(plain, labels=(Label("cat", colour="#ff0000", shortcut="1"),), sample_s=2.0)
    assert coloured.fingerprint() == plain.fingerprint()
    here = plain.with_head("starter-vision", Path("/a/v3"), "v3")
    moved = plain.with_head("starter-vision", Path("/b/v3"), "v3")
    assert here.fingerprint() == moved.fingerprint()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"task": Task.ASK}, "question"),
        ({"task": Task.ASK, "question": "  "}, "question"),
        ({"task": Task.DETECT, "threshold": 1.5}, "threshold"),
        ({"task": Task.DETECT, "threshold": float("nan")}, "threshold"),
        ({"task": Task.DETECT, "sample_s": 0}, "sample_s"),
        ({"task": Task.DETECT, "frames": "some"}, "frames"),
        ({"task": Task.DETECT, "labels": (Label("a"), Label("a"))}, "labels"),
        ({"task": Task.DETECT, "labels": (Label(""),)}, "labels"),
        ({"task": Task.CAPTION, "answer": AnswerShape.yes_no()}, "answer"),
    ],
)
def test_wrong_values_are_named(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunSpec(**arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "spec"),
        ({}, "task"),
        ({"task": "guess"}, "task"),
        ({"task": "read", "speed": 3}, "speed"),
        ({"task": "read", "threshold": True}, "threshold"),
        ({"task": "read", "labels": [3]}, "labels"),
        ({"task": "read", "labels": [{"name": "a", "prompts": "x"}]}, "labels.prompts"),
        ({"task": "read", "labels": [{"name": "a", "colour": 3}]}, "labels.colour"),
        ({"task": "ask", "question": "a", "answer": "yes/no"}, "answer"),
        ({"task": "ask", "question": "a", "answer": {"kind": "essay"}}, "answer"),
    ],
)
def test_wrong_json_is_refused_with_its_field(value: object, field: str) -> None:
    with pytest.raises(FormatError) as caught:
        RunSpec.from_json(value)
    assert caught.value.field == field
