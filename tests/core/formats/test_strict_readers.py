"""A wrong field anywhere is an error that names file, row and field; it never opens as empty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmtool_core.errors import FormatError, MediaNotFoundError
from vlmtool_core.formats import AnnotationRow, read_annotations, read_results
from vlmtool_core.records import Box


def refused(name: str, path: Path, data: str | bytes) -> FormatError:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(FormatError) as caught:
        read_annotations(name, path)
    assert caught.value.path == str(path)
    assert caught.value.remedy
    return caught.value


GOOD = '{"item": "a.png", "kind": "label", "label": "cat"}\n'


@pytest.mark.parametrize(
    ("line", "field", "said"),
    [
        ("{", "line 2", "not valid JSON"),
        ("[1]", "line 2", "expected an object"),
        ('{"kind": "label", "label": "x"}', "line 2, item", "is missing"),
        ('{"item": "", "label": "x"}', "line 2, item", "is empty"),
        ('{"item": 3, "label": "x"}', "line 2, item", "expected a text"),
        ('{"item": "a"}', "line 2, label", "needs one"),
        ('{"item": "a", "label": " x"}', "line 2, label", "outer spaces"),
        ('{"item": "a", "lable": "x"}', "line 2, lable", "is no field"),
        ('{"item": "a", "kind": "polygon"}', "line 2, kind", "expected one of"),
        ('{"item": "a", "label": "x", "frame": -1}', "line 2, frame", "whole number from 0"),
        ('{"item": "a", "label": "x", "frame": 1.5}', "line 2, frame", "whole number"),
        ('{"item": "a", "label": "x", "frame": true}', "line 2, frame", "whole number"),
        ('{"item": "a", "kind": "box", "bbox": [1, 2, 3]}', "line 2, bbox", "x1 <= x2"),
        ('{"item": "a", "kind": "box", "bbox": [3, 2, 1, 4]}', "line 2, bbox", "x1 <= x2"),
        ('{"item": "a", "kind": "box", "bbox": [1, 2, "3", 4]}', "line 2, bbox[2]", "finite"),
        ('{"item": "a", "kind": "box", "bbox": [1, 2, 1e999, 4]}', "line 2, bbox[2]", "finite"),
        ('{"item": "a", "kind": "box", "bbox": [NaN, 2, 3, 4]}', "line 2", "NaN"),
        ('{"item": "a", "kind": "box"}', "line 2, bbox", "does not fit"),
        ('{"item": "a", "label": "x", "bbox": [1, 2, 3, 4]}', "line 2, bbox", "does not fit"),
        ('{"item": "a", "kind": "text"}', "line 2, text", "does not fit"),
        ('{"item": "a", "kind": "text", "text": ""}', "line 2, text", "is empty"),
        ('{"item": "\\ud800", "label": "x"}', "line 2, item", "Unicode"),
        ('{"item": "a", "label": "x", "created_at": "soon"}', "line 2, created_at", "date"),
        ('{"item": "a", "label": "x", "created_at": "2026-01-01"}', "line 2, created_at", "zone"),
    ],
)
def test_jsonl(tmp_path: Path, line: str, field: str, said: str) -> None:
    error = refused("jsonl", tmp_path / "a.jsonl", GOOD + line + "\n")
    assert error.field == field
    assert said in error.message


@pytest.mark.parametrize(
    ("table", "field", "said"),
    [
        ("", None, "is empty"),
        ("label\ncat\n", "item", "missing"),
        ("item,label,colour\na,cat,red\n", "colour", "no column"),
        ("item,label,label\na,cat,dog\n", "label", "twice"),
        ("item,label\na,cat\nb\n", "row 3", "1 cells where the head has 2"),
        ("item,label\na,cat,x\n", "row 2", "3 cells"),
        ("item,label\na,\n", "row 2, label", "needs one"),
        ("item,label\n,cat\n", "row 2, item", "is empty"),
        ("item,label,frame\na,cat,1.5\n", "row 2, frame", "whole number"),
        ("item,label,kind,x1,y1,x2,y2\na,cat,box,1,2,3,\n", "row 2, y2", "expected a number"),
        ("item,label,kind,x1,y1,x2,y2\na,cat,box,1,2,nan,4\n", "row 2, bbox[2]", "finite"),
        ('item,label\na,"cat\n', "row 2", "no valid CSV"),
    ],
)
def test_csv(tmp_path: Path, table: str, field: str | None, said: str) -> None:
    error = refused("csv", tmp_path / "a.csv", table)
    assert error.field == field
    assert said in error.message


def coco(**changes: object) -> str:
    document: dict[str, object] = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    return json.dumps({**document, **changes})


def annotation(**changes: object) -> str:
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], **changes}
    return coco(annotations=[{k: v for k, v in entry.items() if v is not None}])


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        ("[]", None, "expected an object"),
        ("{", None, "not valid JSON"),
        ("{}", "images", "is missing"),
        (coco(images=[{"id": 1}]), "images[0].file_name", "is missing"),
        (coco(images=[{"id": 1, "file_name": "a"}] * 2), "images[1].id", "twice"),
        (coco(categories=[{"id": 1, "name": "a"}] * 2), "categories[1].id", "twice"),
        (coco(categories=[]), "annotations[0].category_id", "no category 1"),
        (annotation(image_id=9), "annotations[0].image_id", "no image 9"),
        (annotation(bbox=None), "annotations[0].bbox", "is missing"),
        (annotation(bbox=[1, 2, -3, 4]), "annotations[0].bbox", "width"),
        (annotation(bbox=[1, 2, 3]), "annotations[0].bbox", "width"),
        (annotation(bbox=[1, 2, 3, "x"]), "annotations[0].bbox[3]", "finite"),
        (coco(annotations={}), "annotations", "a list"),
    ],
)
def test_coco(tmp_path: Path, document: str, field: str | None, said: str) -> None:
    error = refused("coco", tmp_path / "a.json", document)
    assert error.field == field
    assert said in error.message


@pytest.mark.parametrize("name", ["jsonl", "csv", "coco"])
def test_other_encodings_and_missing_files(tmp_path: Path, name: str) -> None:
    error = refused(name, tmp_path / "a", "item,label\nä,cat\n".encode("latin-1"))
    assert "UTF-8" in error.message
    with pytest.raises(MediaNotFoundError):
        read_annotations(name, tmp_path / "nothing")


def test_spreadsheets_may_save_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffitem;label\r\nx/ä b.png;cat\r\n\r\n", encoding="utf-8", newline="")
    assert read_annotations("csv", path) == [AnnotationRow("x/ä b.png", "label", label="cat")]


def test_a_hand_written_box_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("item,kind,label,x1,y1,x2,y2\na.png,box,cat,-1,2,3.5,4\n")
    (row,) = read_annotations("csv", path)
    assert row.box == Box(-1, 2, 3.5, 4, "cat")


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('{"item": "a"}', "line 1, task"),
        ('{"item": "a", "task": "sing"}', "line 1, task"),
        (
            '{"item": "a", "task": "ask", "sha256": "", "frame": 0, "model": "m", '
            '"model_version": "1", "outcome": "failed"}',
            "line 1, error",
        ),
        (
            '{"item": "a", "task": "ask", "sha256": "", "frame": 0, "model": "m", '
            '"model_version": "1", "outcome": "maybe"}',
            "line 1, outcome",
        ),
    ],
)
def test_results(tmp_path: Path, line: str, field: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line)
    with pytest.raises(FormatError) as caught:
        list(read_results("jsonl", path))
    assert caught.value.field == field
