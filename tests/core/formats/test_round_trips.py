"""Every format gives back what was written into it, whatever the texts and numbers."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_core.errors import FormatError, UsageError
from vlmtool_core.formats import (
    FORMATS,
    AnnotationRow,
    read_annotations,
    read_results,
    result_from_json,
    result_to_json,
    write_annotations,
    write_results,
)
from vlmtool_core.formats.csv_format import guard, unguard
from vlmtool_core.records import (
    Box,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    ResultRow,
    Score,
    Task,
    TextLine,
)

any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.one_of(
    any_text.filter(bool),
    st.sampled_from(
        ["a/img 1.png", "=1+1.png", "-x", "@a", "'", "''=", "中文/😀.png", "a,b;c", 'q"']
    ),
)
labels = st.one_of(
    st.sampled_from(["cat", "=SUM(A1)", "+1", "'-x", "中文", "a,b", "x\ny"]),
    any_text.map(str.strip).filter(bool),
)
numbers = st.floats(-1e9, 1e9, allow_nan=False)
sizes = st.floats(0, 1e9)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), numbers, numbers, sizes, sizes)
stamps = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@st.composite
def annotations(draw: st.DrawFn) -> AnnotationRow:
    kind = draw(st.sampled_from(["label", "box", "text"]))
    label = draw(labels if kind == "label" else st.just("") | labels)
    return AnnotationRow(
        item=draw(names),
        kind=kind,
        frame=draw(st.integers(0, 10**6)),
        label=label,
        box=Box(*draw(boxes), label) if kind == "box" else None,
        text=draw(any_text.filter(bool)) if kind == "text" else None,
        author=draw(any_text),
        created_at=draw(stamps),
        updated_at=draw(stamps),
    )


def through(name: str, rows: Iterable[AnnotationRow]) -> list[AnnotationRow]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_text("".join(write_annotations(name, rows)), encoding="utf-8", newline="")
        return read_annotations(name, path)


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=150)
@given(rows=st.lists(annotations(), max_size=5))
def test_annotations_survive(name: str, rows: list[AnnotationRow]) -> None:
    found = through(name, rows)
    # COCO keeps labels and texts with the image and boxes apart: the order is not kept.
    key = repr if name == "coco" else (lambda row: 0)
    assert sorted(found, key=key) == sorted(rows, key=key)


@pytest.mark.parametrize("name", FORMATS)
def test_facts_of_the_item_survive(name: str) -> None:
    row = AnnotationRow("a.png", "label", label="cat", sha256="f" * 64, group="p 1", size=(30, 20))
    assert through(name, [row]) == [row]


def test_coco_is_what_other_programs_read() -> None:
    rows = [
        AnnotationRow("a.png", "box", 0, "cat", Box(10, 20, 40, 80, "cat"), size=(100, 90)),
        AnnotationRow("a.png", "label", 0, "sunny", size=(100, 90)),
    ]
    document = json.loads("".join(write_annotations("coco", rows, ["dog", "cat"])))
    (image,) = document["images"]
    assert (image["file_name"], image["width"], image["height"]) == ("a.png", 100, 90)
    assert [c["name"] for c in document["categories"]] == ["dog", "cat"]
    (annotation,) = document["annotations"]
    assert annotation["bbox"] == [10, 20, 30, 60]
    assert annotation["area"] == 1800
    assert annotation["category_id"] == 2
    assert annotation["image_id"] == image["id"]
    assert annotation["iscrowd"] == 0


def test_a_box_moved_by_another_program_wins_over_our_own_corners(tmp_path: Path) -> None:
    row = AnnotationRow("a.png", "box", 0, "cat", Box(0.1, 0.2, 0.4, 0.8, "cat"))
    document = json.loads("".join(write_annotations("coco", [row])))
    document["annotations"][0]["bbox"][0] = 7
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document))
    (found,) = read_annotations("coco", path)
    assert found.box is not None
    assert found.box.x1 == 7


def test_coco_of_another_program_is_taken(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 5, "file_name": "x/a.jpg", "width": 10, "height": 10, "license": 1}],
        "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 18, "bbox": [1, 2, 3, 4], "segmentation": []}
        ],
    }
    path = tmp_path / "c.json"
    path.write_text("\ufeff" + json.dumps(document), encoding="utf-8")
    assert read_annotations("coco", path) == [
        AnnotationRow("x/a.jpg", "box", 0, "dog", Box(1, 2, 4, 6, "dog"))
    ]


scores = st.lists(st.builds(Score, any_text, st.floats(0, 1)), max_size=3).map(tuple)
results = st.builds(
    ResultRow,
    item=names,
    sha256=st.sampled_from(["", "a" * 64]),
    frame=st.integers(0, 10**6),
    time_s=st.none() | st.floats(0, 1e6),
    task=st.sampled_from(list(Task)),
    model=st.builds(ModelIdentity, any_text, any_text, any_text),
    outcome=st.builds(
        Outcome,
        st.sampled_from([OutcomeStatus.OK, OutcomeStatus.EMPTY]),
        scores=scores,
        boxes=st.lists(
            st.builds(
                lambda c, label, s: Box(*c, label, s), boxes, any_text, st.none() | st.floats(0, 1)
            ),
            max_size=3,
        ).map(tuple),
        text=st.none() | any_text,
    )
    | st.builds(lambda text: Outcome.failed(OSError(text)), any_text),
    size=st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
)


@settings(deadline=None)
@given(results)
def test_a_result_survives_json(row: ResultRow) -> None:
    assert result_from_json(json.loads(json.dumps(result_to_json(row)))) == row


@pytest.mark.parametrize("name", ["jsonl", "coco"])
@settings(deadline=None)
@given(rows=st.lists(results, min_size=1, max_size=4))
def test_results_survive(name: str, rows: list[ResultRow]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_text("".join(write_results(name, rows)), encoding="utf-8", newline="")
        found = list(read_results(name, path))
    key = repr if name == "coco" else (lambda row: 0)
    assert sorted(found, key=key) == sorted(rows, key=key)


@pytest.mark.parametrize("data", [True, False, 0, "=cat", {"a": [1, None, "猫"]}])
def test_what_was_answered_survives(data: object, tmp_path: Path) -> None:
    outcome = Outcome(OutcomeStatus.OK, text="words", data=data)
    row = ResultRow("a.png", "s", 0, None, Task.ASK, ModelIdentity("m", "1"), outcome)
    for name in ("jsonl", "coco"):
        path = tmp_path / name
        path.write_text("".join(write_results(name, [row])), encoding="utf-8", newline="")
        found = next(iter(read_results(name, path))).outcome.data
        assert (found, type(found)) == (data, type(data))
    table = list(csv.DictReader(io.StringIO("".join(write_results("csv", [row])), newline="")))
    assert json.loads(unguard(table[0]["data"])) == data
    assert table[0]["text"] == "words"


def test_the_keys_of_a_result() -> None:
    outcome = Outcome(OutcomeStatus.OK, boxes=(Box(1, 2, 3, 4, "cat", 0.5),))
    row = ResultRow("a.png", "s", 0, 1.5, Task.DETECT, ModelIdentity("m", "1"), outcome)
    assert result_to_json(row) == {
        "item": "a.png",
        "sha256": "s",
        "frame": 0,
        "time_s": 1.5,
        "task": "detect",
        "model": "m",
        "model_version": "1",
        "outcome": "ok",
        "boxes": [{"bbox": [1, 2, 3, 4], "label": "cat", "score": 0.5}],
    }


@given(any_text)
def test_the_formula_guard_can_be_taken_away(text: str) -> None:
    assert unguard(guard(text)) == text
    assert not guard(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_no_cell_of_a_result_table_starts_a_formula() -> None:
    evil = '=HYPERLINK("http://x","y")'
    outcomes = [
        Outcome(OutcomeStatus.OK, scores=(Score(evil, 0.123456789),)),
        Outcome(OutcomeStatus.OK, boxes=(Box(1.239, 2, 3, 4, "@x", 0.5),)),
        Outcome(OutcomeStatus.OK, text="+1"),
        Outcome(OutcomeStatus.OK, lines=(TextLine("-2", ((0, 0), (2, 0), (2, 1), (0, 1)), 0.5),)),
        Outcome(OutcomeStatus.EMPTY),
        Outcome.failed(OSError("=1")),
    ]
    model = ModelIdentity("=m", "-1")
    rows = [ResultRow("=a.png", "", 0, None, Task.ASK, model, outcome) for outcome in outcomes]
    table = list(csv.reader(io.StringIO("".join(write_results("csv", rows)), newline="")))
    assert len(table) == 1 + len(outcomes)
    cells = [cell for row in table[1:] for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    as_dicts = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    assert as_dicts[0]["label"] == f"'{evil}"
    assert as_dicts[0]["score"] == "0.123457"
    assert as_dicts[1]["x1"] == "1.24"
    assert as_dicts[3]["text"] == "'-2"
    assert as_dicts[4]["outcome"] == "empty"
    assert as_dicts[5]["outcome"] == "failed"
    assert as_dicts[5]["error"].endswith("(internal)")


def test_there_is_no_way_back_from_a_rounded_table(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="rounded"):
        read_results("csv", tmp_path / "r.csv")
    with pytest.raises(UsageError, match="jsonl, csv, coco"):
        write_annotations("xml", [])
