"""Templates and keys: what is understood, and errors that name file and field."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.api import FormatError
from vlmtool_education.drawing import demo_template, write_template
from vlmtool_education.keys import read_key
from vlmtool_education.template import read_template


def changed(path: str, value: Any, *, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """A copy of a good template with the value at a dotted path set, or removed when None."""
    template = copy.deepcopy(base or demo_template())
    node = template
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return template


def test_fields_lie_where_origin_and_gaps_put_them(tmp_path):
    template = read_template(write_template(tmp_path, demo_template(4, 2)))
    fields = {field.name: field for field in template.fields}
    assert fields["roll1"].values == tuple("0123456789")
    assert fields["roll2"].centres[1] == (110 + 56 + 15, 120 + 42 + 15)
    assert fields["q2"].centres[3] == (150 + 3 * 62 + 15, 620 + 56 + 15)
    assert [name for name, _ in template.outputs] == ["Roll", "q1", "q2", "q3", "q4"]
    assert template.marker is not None


BAD = [
    ("pageDimensions", None, "pageDimensions"),
    ("pageDimensions", [0, 100], "pageDimensions.0"),
    ("pageDimensions", [1000], "pageDimensions"),
    ("bubbleDimensions", ["a", 3], "bubbleDimensions.0"),
    ("bubbleDimensions", [True, 3], "bubbleDimensions.0"),
    ("fieldBlocks", {}, "fieldBlocks"),
    ("fieldBlocks", [], "fieldBlocks"),
    ("fieldBlocks.Roll.fieldType", "QTYPE_X", "fieldBlocks.Roll.fieldType"),
    ("fieldBlocks.Roll.fieldType", None, "fieldBlocks.Roll"),
    ("fieldBlocks.Roll.origin", [1e9, 5], "fieldBlocks.Roll"),
    ("fieldBlocks.Roll.bubblesGap", -3, "fieldBlocks.Roll.bubblesGap"),
    ("fieldBlocks.Roll.labelsGap", None, "fieldBlocks.Roll.labelsGap"),
    ("fieldBlocks.Roll.fieldLabels", ["roll9..1"], "fieldBlocks.Roll.fieldLabels.0"),
    ("fieldBlocks.Roll.fieldLabels", ["r1..99999999"], "fieldBlocks.Roll.fieldLabels.0"),
    ("fieldBlocks.Roll.fieldLabels", ["q1..4"], "fieldBlocks.Questions1"),
    ("fieldBlocks.Roll.direction", "down", "fieldBlocks.Roll.direction"),
    ("fieldBlocks.Roll.bubbleValues", ["1", "1"], "fieldBlocks.Roll.bubbleValues"),
    ("customLabels.Roll", ["nobody"], "customLabels.Roll"),
    ("outputColumns", ["nobody"], "outputColumns"),
    ("preProcessors", [{"name": "FeatureBasedAlignment"}], "preProcessors.0"),
    ("preProcessors", [{"options": {}}], "preProcessors.0.name"),
    (
        "preProcessors",
        [{"name": "CropOnMarkers", "options": {"relativePath": "none.png"}}],
        "preProcessors.0.options.relativePath",
    ),
    (
        "preProcessors",
        [{"name": "GaussianBlur", "options": {"kSize": [2, 3]}}],
        "preProcessors.0.options.kSize",
    ),
]


@pytest.mark.parametrize(("path", "value", "field"), BAD)
def test_a_broken_template_is_refused_with_file_and_field(tmp_path, path, value, field):
    file = write_template(tmp_path, changed(path, value))
    with pytest.raises(FormatError) as caught:
        read_template(file)
    assert caught.value.path == str(file)
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", '"x"', "[" * 100_000, "NaN"])
def test_what_is_no_template_is_refused(tmp_path, text):
    file = tmp_path / "template.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError) as caught:
        read_template(file)
    assert caught.value.path == str(file)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=8,
    ),
    st.sampled_from([row[0] for row in BAD]),
)
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory, value, path):
    folder = tmp_path_factory.getbasetemp() / "any"
    template = changed(path, {"value": value})
    node = template
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    file = write_template(folder, template)
    try:
        assert read_template(file).fields
    except FormatError as error:
        assert error.path == str(file)  # noqa: PT017


def test_unknown_steps_are_named_not_silently_dropped(tmp_path):
    steps = [{"name": "CropPage"}, {"name": "Sharpen", "options": {}}]
    template = read_template(write_template(tmp_path, changed("preProcessors", steps)))
    assert template.warnings == ("preProcessors step Sharpen is ignored",)


def test_a_symmetric_template_is_known_as_such(tmp_path):
    block = {
        "fieldType": "QTYPE_MCQ4",
        "fieldLabels": ["q1..10"],
        "bubblesGap": 50,
        "labelsGap": 50,
        "origin": [410, 460],
    }
    page = {"pageDimensions": [1000, 1400], "bubbleDimensions": [30, 30]}
    assert read_template(
        write_template(tmp_path, {**page, "fieldBlocks": {"A": block}})
    ).turns_onto_itself()
    assert not read_template(write_template(tmp_path, demo_template())).turns_onto_itself()


def evaluation(**changes: Any) -> dict[str, Any]:
    return {
        "source_type": "custom",
        "options": {
            "questions_in_order": ["q1..4"],
            "answers_in_order": ["A", ["B", "C", "BC"], [["A", 2], ["B", "1/2"]], "D"],
        },
        "marking_schemes": {
            "DEFAULT": {"correct": "3", "incorrect": "-2/3", "unmarked": "0"},
            "LAST": {
                "questions": ["q4"],
                "marking": {"correct": 5, "incorrect": -1, "unmarked": -0.5},
            },
        },
        **changes,
    }


def written(folder: Path, value: Any) -> Path:
    path = folder / "evaluation.json"
    path.write_text(json.dumps(value))
    return path


def test_schemes_sections_weights_and_fractions(tmp_path):
    key = read_key(written(tmp_path, evaluation()))

    def points(name: str, reading: str) -> Fraction:
        return key.questions[name].judge(reading, blank=not reading).points

    assert points("q1", "A") == 3
    assert points("q1", "B") == Fraction(-2, 3)
    assert points("q1", "") == 0
    assert points("q2", "BC") == 3
    assert points("q2", "ABC") == Fraction(-2, 3)
    assert points("q3", "B") == Fraction(1, 2)
    assert points("q4", "D") == 5
    assert points("q4", "") == Fraction(-1, 2)
    assert key.maximum == 3 + 3 + 2 + 5


BAD_KEYS = [
    (evaluation(source_type="cloud"), "source_type"),
    (evaluation(options={}), "options.questions_in_order"),
    (
        evaluation(options={"questions_in_order": ["q1..3"], "answers_in_order": ["A"]}),
        "options.answers_in_order",
    ),
    (
        evaluation(options={"questions_in_order": ["q1"], "answers_in_order": [[]]}),
        "options.answers_in_order.0",
    ),
    (
        evaluation(options={"questions_in_order": ["q1", "q1"], "answers_in_order": ["A", "B"]}),
        "options.questions_in_order",
    ),
    (evaluation(marking_schemes={}), "marking_schemes.DEFAULT"),
    (
        evaluation(marking_schemes={"DEFAULT": {"correct": "1/0", "incorrect": 0, "unmarked": 0}}),
        "marking_schemes.DEFAULT.correct",
    ),
    (
        evaluation(marking_schemes={"DEFAULT": {"correct": [1, 2], "incorrect": 0, "unmarked": 0}}),
        "marking_schemes.DEFAULT.correct",
    ),
]


@pytest.mark.parametrize(("value", "field"), BAD_KEYS)
def test_a_broken_key_is_refused_with_file_and_field(tmp_path, value, field):
    path = written(tmp_path, value)
    with pytest.raises(FormatError) as caught:
        read_key(path)
    assert (caught.value.path, caught.value.field) == (str(path), field)


@pytest.mark.parametrize(
    "text",
    [
        "question,answer,points\nq1,A,2\nq2,B|C,1/3\n",
        "q1,A,2\nq2,B|C,1/3\n",
        "\ufeffPoints;Answer;Question\r\n2;A;q1\r\n1/3;B|C;q2\r\n",
    ],
)
def test_tables_with_and_without_header(tmp_path, text):
    path = tmp_path / "key.csv"
    path.write_text(text, encoding="utf-8")
    key = read_key(path)
    assert list(key.questions) == ["q1", "q2"]
    assert key.questions["q1"].judge("A", blank=False).points == 2
    assert key.questions["q2"].judge("C", blank=False).points == Fraction(1, 3)
    assert key.questions["q2"].judge("D", blank=False).points == 0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", None),
        ("question,points\nq1,2\n", "answer"),
        ("q1,A\nq1,B\n", "line 2"),
        ("q1,A,many\n", "line 1"),
        ("q1\n", "line 1"),
        ("question,answer\n", None),
    ],
)
def test_broken_tables_are_refused(tmp_path, text, field):
    path = tmp_path / "key.csv"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_key(path)
    assert (caught.value.path, caught.value.field) == (str(path), field)


def test_a_key_may_name_its_table(tmp_path):
    (tmp_path / "answers.csv").write_text("q1,A\nq2,B\nq3,C\n")
    options = {"answer_key_csv_path": "answers.csv", "questions_in_order": ["q1", "q3"]}
    schemes = {"DEFAULT": {"correct": 4, "incorrect": -1, "unmarked": 0}}
    key = read_key(
        written(tmp_path, {"source_type": "csv", "options": options, "marking_schemes": schemes})
    )
    assert list(key.questions) == ["q1", "q3"]
    assert key.maximum == 8


def test_a_key_for_questions_that_the_template_lacks_is_refused(tmp_path):
    (tmp_path / "key.csv").write_text("q1,A\nq77,B\n")
    with pytest.raises(FormatError) as caught:
        read_key(tmp_path / "key.csv").check_against(["q1", "q2"])
    assert caught.value.field == "q77"
