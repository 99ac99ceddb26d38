"""What a user gives for a workflow is checked, converted, and named when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.errors import MediaNotFoundError, UsageError
from vlmtool_core.hooks.values import (
    check_inputs,
    check_regions,
    convert_value,
    convert_values,
    describe_range,
)
from vlmtool_core.hooks.workflow import (
    Parameter,
    ParameterKind,
    RegionSpec,
    Workflow,
    WorkflowResult,
)
from vlmtool_core.records import Label, Region


def parameter(kind: ParameterKind, **kwargs: object) -> Parameter:
    return Parameter("field_name", kind, "Field", "Help", **kwargs)


def workflow(**kwargs: object) -> Workflow:
    return Workflow("one", "test", "T", "S.", (), lambda _: WorkflowResult(""), **kwargs)


@pytest.mark.parametrize(
    ("kind", "given_value", "expected"),
    [
        (ParameterKind.TEXT, " as typed ", " as typed "),
        (ParameterKind.INTEGER, "7", 7),
        (ParameterKind.INTEGER, 7.0, 7),
        (ParameterKind.NUMBER, "0.5", 0.5),
        (ParameterKind.SWITCH, "No", False),
        (ParameterKind.SWITCH, True, True),
        (ParameterKind.OUTPUT_FILE, "a/b.csv", Path("a/b.csv")),
        (ParameterKind.LABELS, "a, b ,,a", (Label("a"), Label("b"))),
        (ParameterKind.LABELS, ["a", Label("b", ("p",))], (Label("a"), Label("b", ("p",)))),
    ],
)
def test_converts(kind, given_value, expected):
    value = convert_value(parameter(kind), given_value)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("kind", "given_value"),
    [
        (ParameterKind.TEXT, 5),
        (ParameterKind.INTEGER, "7.5"),
        (ParameterKind.INTEGER, True),
        (ParameterKind.INTEGER, "1e999"),
        (ParameterKind.NUMBER, "nan"),
        (ParameterKind.NUMBER, "inf"),
        (ParameterKind.NUMBER, []),
        (ParameterKind.SWITCH, "perhaps"),
        (ParameterKind.CHOICE, "z"),
        (ParameterKind.OUTPUT_FILE, "a\0b"),
        (ParameterKind.OUTPUT_FILE, 3),
        (ParameterKind.LABELS, " , "),
        (ParameterKind.LABELS, 4),
    ],
)
def test_a_wrong_value_names_the_parameter(kind, given_value):
    with pytest.raises(UsageError) as caught:
        convert_value(parameter(kind, choices=("x", "y")), given_value)
    assert caught.value.field == "field_name"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_kept_in_its_range(value: float):
    limited = parameter(ParameterKind.NUMBER, minimum=0.1, maximum=10)
    if 0.1 <= value <= 10:
        assert convert_value(limited, value) == value
    else:
        with pytest.raises(UsageError):
            convert_value(limited, value)


def test_defaults_required_and_unknown_names():
    flow = workflow(
        parameters=(
            Parameter("gap", ParameterKind.NUMBER, "Gap", "Gap", default=2),
            Parameter("key", ParameterKind.TEXT, "Key", "Key", required=True),
            Parameter("note", ParameterKind.TEXT, "Note", "Note"),
        )
    )
    assert convert_values(flow, {"key": "k"}) == {"gap": 2.0, "key": "k", "note": None}
    with pytest.raises(UsageError) as caught:
        convert_values(flow, {"key": "  "})
    assert caught.value.field == "key"
    with pytest.raises(UsageError) as caught:
        convert_values(flow, {"key": "k", "gpa": 1})
    assert caught.value.field == "gpa"


def test_paths_must_fit_their_kind(tmp_path: Path):
    file = tmp_path / "表 😀.csv"
    file.write_text("x")
    assert convert_value(parameter(ParameterKind.INPUT_FILE), str(file)) == file
    with pytest.raises(MediaNotFoundError) as caught:
        convert_value(parameter(ParameterKind.INPUT_FILE), tmp_path / "none.csv")
    assert caught.value.field == "field_name"
    with pytest.raises(UsageError, match="folder"):
        convert_value(parameter(ParameterKind.OUTPUT_FILE), tmp_path)
    with pytest.raises(UsageError, match="file"):
        convert_value(parameter(ParameterKind.OUTPUT_FOLDER), file)


def test_inputs(tmp_path: Path):
    one = workflow(many_inputs=False, inputs_name="IN")
    assert check_inputs(one, [str(tmp_path)]) == (tmp_path,)
    for wrong in ([], [tmp_path, tmp_path]):
        with pytest.raises(UsageError) as caught:
            check_inputs(one, wrong)
        assert caught.value.field == "IN"
    for missing in ("not there", "x" * 5000, "a\0b"):
        with pytest.raises(MediaNotFoundError) as caught:
            check_inputs(one, [missing])
        assert caught.value.path == missing


@pytest.mark.parametrize(
    "region",
    [
        Region("unknown", "polygon", ((0, 0), (1, 0), (1, 1))),
        Region("area", "box", ((0, 0), (1, 1))),
        Region("area", "polygon", ((0, 0), (1, 1))),
        Region("area", "polygon", ((0, 0), (1, 1), (float("nan"), 2))),
    ],
)
def test_a_wrong_region_names_its_role(region):
    flow = workflow(regions=(RegionSpec("area", "polygon", "Help"),))
    with pytest.raises(UsageError) as caught:
        check_regions(flow, [region])
    assert caught.value.field == region.role


def test_the_number_of_regions_is_checked():
    triangle = Region("area", "polygon", ((0, 0), (1, 0), (1, 1)))
    flow = workflow(regions=(RegionSpec("area", "polygon", "Help", minimum=1, maximum=2),))
    assert check_regions(flow, [triangle]) == (triangle,)
    for count in (0, 3):
        with pytest.raises(UsageError, match=f"got {count}"):
            check_regions(flow, [triangle] * count)


def test_ranges_in_words():
    assert describe_range(parameter(ParameterKind.NUMBER, minimum=1, unit="s")) == "at least 1 s"
    assert describe_range(parameter(ParameterKind.NUMBER, maximum=5)) == "at most 5"
    assert describe_range(parameter(ParameterKind.NUMBER, minimum=1, maximum=5)) == "1 to 5"
    assert describe_range(parameter(ParameterKind.NUMBER)) == ""
