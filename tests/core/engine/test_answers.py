"""Forms of answers: what is taken, what a model's words are read as, and that constrained decoding
ends in a valid answer whatever the model wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "families"))

from chat_models import byte_tokenizer, piece_tokenizer

from vlmtool_core.engine.families.parts.answer_decoding import AnswerGrammars, check_wording
from vlmtool_core.engine.texts.answer_schema import mismatch, most_characters
from vlmtool_core.engine.texts.answers import AnswerShape, answer_shape, validated
from vlmtool_core.errors import AnswerError, FormatError, InferenceError, UsageError
from vlmtool_core.records import Outcome, OutcomeStatus

ANIMAL = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "legs": {"type": "integer"}},
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("No.", False), ("Yes: two faces.", True), (" **No** ", False),
        ('"Yes"', True), ("NO\nI see nothing", False), ("Yes, probably a dog.", True),
        ("No face was found.", False), ("No sign of a dog was found.", False),
    ],
)  # fmt: skip
def test_yes_or_no_in_a_models_words(text, value):
    assert AnswerShape.yes_no().read(text) is value


@pytest.mark.parametrize("text", ["", "maybe", "yesterday", "No idea at all", "not", "None"])
def test_what_is_neither_yes_nor_no(text):
    with pytest.raises(AnswerError, match="yes or no"):
        AnswerShape.yes_no().read(text)


def test_one_of_is_read_through_article_case_and_quotes():
    shape = AnswerShape.one_of(["cat", "The  Dog", "猫"])
    for text, value in [("A cat.", "cat"), ("'CAT'", "cat"), ("the dog", "The Dog"), ("猫", "猫")]:
        assert shape.read(text) == value
    for text in ("cat and dog", "", "bird", "cats"):
        with pytest.raises(AnswerError, match="one of cat, The Dog, 猫"):
            shape.read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog", "JSON"),
        ("[1]", "an object at"),
        ("{}", "the property 'name'"),
        ('{"name": 3}', r"a text at \$\.name"),
        ('{"name": "far too long"}', "at most 8"),
        ('{"name": "x", "legs": 2.5}', "a whole number"),
        ('{"name": "x", "legs": true}', "a whole number"),
        ('{"name": "x", "wings": 2}', "no property 'wings'"),
        ('{"name": "x", "legs": NaN}', "JSON"),
        ('{"name": "\\ud800"}', "a text"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_what_was_expected(text, expected):
    with pytest.raises(AnswerError, match=expected):
        AnswerShape.of_schema(ANIMAL).read(text)


def test_json_may_stand_in_a_fence():
    shape = AnswerShape.of_schema(ANIMAL)
    assert shape.read('```json\n{"name": "cat", "legs": 4}\n```') == {"name": "cat", "legs": 4}


def test_a_validated_outcome_has_data_or_has_failed_with_its_words():
    shape = AnswerShape.yes_no()
    good = validated(Outcome(OutcomeStatus.OK, text="No."), shape)
    assert (good.status, good.data, good.text) == (OutcomeStatus.OK, False, "No.")
    bad = validated(Outcome(OutcomeStatus.OK, text="This model cannot tell."), shape)
    assert bad.status is OutcomeStatus.FAILED
    assert bad.error.code == "answer"
    assert bad.text == "This model cannot tell."
    stopped = Outcome(OutcomeStatus.CANCELLED, text="N")
    assert validated(stopped, shape) is stopped
    assert validated(bad, None) is bad


@pytest.mark.parametrize(
    ("schema", "where", "message"),
    [
        ([], "schema", "expected an object"),
        ({}, "schema", "type is missing"),
        ({"type": "null"}, "schema", "'null' is not supported"),
        ({"type": ["string", "null"]}, "schema", "not supported"),
        ({"type": "string", "pattern": "a"}, "schema", "'pattern' is not supported"),
        ({"type": "string", "maxLength": -1}, "schema", "maxLength"),
        ({"type": "string", "maxLength": True}, "schema", "maxLength"),
        ({"type": "array"}, "schema", "items is missing"),
        ({"type": "object"}, "schema", "1 to 100 properties"),
        ({"anyOf": []}, "schema", "type is missing"),
        ({"type": "number", "minimum": 3, "maximum": 2}, "schema", "no number"),
        ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "schema", "no number"),
        ({"type": "number", "minimum": 1e30}, "schema", "minimum must be"),
        ({"type": "number", "maximum": float("nan")}, "schema", "maximum must be"),
        ({"type": "number", "minimum": 0.12345678901}, "schema", "at most 9 decimals"),
        ({"enum": []}, "schema", "type is missing"),
        ({"enum": [None]}, "schema", "type is missing"),
        ({"enum": ["a", {}]}, "schema", "enum may hold"),
        ({"type": "integer", "enum": ["a"]}, "schema", "not a whole number"),
        ({"type": "object", "properties": {"a": {"type": "x"}}}, "schema.a", "not supported"),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["b"]},
         "schema", "required"),
        ({"type": "array", "items": {"type": "object", "properties": {"b": {"$ref": "#"}}}},
         "schema[].b", "type is missing"),
    ],
)  # fmt: skip
def test_what_a_schema_may_not_say_is_named(schema, where, message):
    with pytest.raises(UsageError, match=message) as caught:
        AnswerShape.of_schema(schema)
    assert caught.value.field == where


def test_a_schema_that_is_nested_without_end_is_refused():
    schema: dict[str, Any] = {"type": "boolean"}
    for _ in range(9):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UsageError, match="more than 8 deep"):
        AnswerShape.of_schema(schema)


@pytest.mark.parametrize("options", [[], ["a"], ["a", ""], ["a", "A "], ["x" * 201, "a"],
                                     [str(n) for n in range(501)]])  # fmt: skip
def test_options_that_make_no_choice(options):
    with pytest.raises(UsageError):
        AnswerShape.one_of(options)


def test_what_a_person_may_type(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(ANIMAL))
    assert answer_shape(" Yes / No ") == AnswerShape.yes_no()
    assert answer_shape("one of: a| b |c") == AnswerShape.one_of(["a", "b", "c"])
    assert answer_shape(str(path)) == AnswerShape.of_schema(ANIMAL)
    for wrong in ("maybe", "", str(tmp_path / "none.json")):
        with pytest.raises(UsageError) as caught:
            answer_shape(wrong)
        assert caught.value.field == "answer"
        assert "schema.json" in caught.value.remedy


@pytest.mark.parametrize(
    "shape",
    [AnswerShape.yes_no(), AnswerShape.one_of(["b", "a"]), AnswerShape.of_schema(ANIMAL)],
)
def test_shapes_travel_as_json(shape):
    assert AnswerShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape


@pytest.mark.parametrize("value", [None, "yes/no", {}, {"kind": "one of", "options": [1, 2]}])
def test_what_is_no_shape_is_refused(value):
    with pytest.raises(FormatError):
        AnswerShape.from_json(value)


_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=6
).filter(lambda text: "<" not in text)
_limits = st.integers(-999, 999) | st.floats(-50, 50).map(lambda value: round(value, 3))


def _numbers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda low, span: {
            "type": kind, "minimum": low, "maximum": round(low + abs(span) + 1, 3)
        },
        _limits, _limits,
    ) | st.just({"type": kind})  # fmt: skip


_scalars = st.one_of(
    st.just({"type": "boolean"}),
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 6)),
    _numbers("integer"),
    _numbers("number"),
    st.lists(_texts | st.integers(-9, 9) | st.booleans(), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
)
_schemas = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.builds(
            lambda items, most: {"type": "array", "items": items, "maxItems": most},
            inner, st.integers(0, 2),
        ),
        st.dictionaries(_texts, inner, min_size=1, max_size=3).flatmap(
            lambda parts: st.lists(st.sampled_from(sorted(parts)), unique=True).map(
                lambda names: {"type": "object", "properties": parts, "required": names}
            )
        ),
    ),
    max_leaves=5,
)  # fmt: skip

_GRAMMARS = {
    "bytes": byte_tokenizer(["<image>", "<|im_end|>"], end="<|im_end|>"),
    "pieces": piece_tokenizer(["<image>"]),
}


def _whatever(tokenizer: Any, shape: AnswerShape, seed: int, rows: int = 2) -> list[str]:
    """What a model with random wishes writes under the constraint; more scores than tokens."""
    end, vocabulary = tokenizer.eos_token_id, len(tokenizer) + 7
    constraint = AnswerGrammars(tokenizer, {end}, vocabulary).constraint(shape)
    random = torch.Generator().manual_seed(seed)
    tokens = torch.zeros((rows, 3), dtype=torch.long)
    done = torch.zeros(rows, dtype=torch.bool)
    for _ in range(3000):
        scores = constraint(tokens, torch.randn((rows, vocabulary), generator=random) * 9)
        chosen = torch.where(done, tokenizer.pad_token_id, scores.argmax(dim=1))
        done |= chosen == end
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        if done.all():
            return tokenizer.batch_decode(tokens[:, 3:], skip_special_tokens=True)
    raise AssertionError("the answer does not come to an end")


@pytest.mark.parametrize("kind", _GRAMMARS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema=_schemas, seed=st.integers(0, 10**6))
def test_whatever_the_model_wants_the_json_is_valid(kind, schema, seed):
    shape = AnswerShape.of_schema(schema)
    for text in _whatever(_GRAMMARS[kind], shape, seed):
        value = shape.read(text)
        assert mismatch(value, schema) is None
        assert len(text.strip()) <= most_characters(schema)


@pytest.mark.parametrize("kind", _GRAMMARS)
@settings(max_examples=25, deadline=None)
@given(
    options=st.lists(
        _texts.filter(lambda text: text.strip(" \t\n\"'`*.!") == text and text.isprintable()),
        min_size=2, max_size=4, unique_by=str.casefold,
    ),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_whatever_the_model_wants_it_is_one_of_the_options(kind, options, seed):
    shape = AnswerShape.one_of(options)
    for text in _whatever(_GRAMMARS[kind], shape, seed):
        assert text.strip() in shape.options


@pytest.mark.parametrize(
    "shape",
    [
        AnswerShape.one_of(["a<image>", "b"]),
        AnswerShape.of_schema({"enum": ["<|IM_end|>"]}),
        AnswerShape.of_schema({"type": "object", "properties": {"<eos>": {"type": "boolean"}}}),
    ],
)
def test_no_option_or_name_may_be_a_token_of_the_models_own(shape):
    with pytest.raises(UsageError, match="takes for a command") as caught:
        check_wording(shape, _GRAMMARS["bytes"])
    assert caught.value.field == "answer"


def test_a_tokenizer_whose_words_cannot_be_spelled_is_named():
    from tiny import word_tokenizer

    with pytest.raises(InferenceError, match="form of the answer"):
        AnswerGrammars(word_tokenizer(), {2}, 30).constraint(AnswerShape.of_schema(ANIMAL))
