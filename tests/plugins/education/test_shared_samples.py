"""Real photographs with known truth."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from vlmtool_core.cli.main import run_cli


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_phone_photo_with_markers_reads_every_field(shared_data, tmp_path, grade_files):
    sample = shared_data / "omr" / "sample1"
    out = tmp_path / "marks.csv"
    result = grade_files([sample], sample / "template.json", out)
    assert result.failures == ()
    (row,), (truth,) = table(out), table(sample / "expected.csv")
    assert row["file"] == "MobileCamera/sheet1.jpg"
    columns = ["Roll", *(f"q{n}" for n in range(1, 21))]
    assert {c: row[c] for c in columns} == {c: truth[c] for c in columns}
    assert row["review"] == "q2 (blank)"
    assert row["total"] == ""


def test_perspective_photos_are_marked_as_the_truth_says(shared_data, tmp_path):
    sample = shared_data / "omr" / "sample4"
    out = tmp_path / "marks.csv"
    code = run_cli(
        [
            "education",
            "grade",
            str(sample),
            "--template",
            str(sample / "template.json"),
            "--key",
            str(sample / "evaluation.json"),
            "--out",
            str(out),
        ]
    )
    assert code == 0
    rows = {row["file"]: row for row in table(out)}
    truth = table(sample / "expected.csv")
    assert sorted(rows) == sorted(t["file_id"] for t in truth)
    for expected in truth:
        row = rows[expected["file_id"]]
        assert float(row["total"]) == float(expected["score"])
        assert {q: row[q] for q in expected if q[0] == "q"} == {
            q: v for q, v in expected.items() if q[0] == "q"
        }
    for expected in table(sample / "expected_evaluation.csv"):
        row = rows[expected["file_id"]]
        assert float(row[f"{expected['Question']} points"]) == float(expected["Delta"])
    assert rows["IMG_20201116_150750830.jpg"]["review"] == "q2 (blank); q5 (multiple)"
    assert rows["IMG_20201116_150750830.jpg"]["status"] == "provisional"
    # q7 is a double mark that the key accepts as such: nobody needs to be asked.
    assert rows["IMG_20201116_143512.jpg"]["status"] == "read"
    assert len(list((tmp_path / "marks-sheets").glob("*.jpg"))) == 3


@pytest.mark.parametrize(("sheets", "template"), [("sample1", "sample4"), ("sample4", "sample1")])
def test_the_wrong_template_fails_loudly(shared_data, tmp_path, grade_files, sheets, template):
    omr = shared_data / "omr"
    out = tmp_path / "marks.csv"
    picture = next((omr / sheets).rglob("*[0-9].jpg"))
    result = grade_files([picture], omr / template / "template.json", out)
    (failure,) = result.failures
    assert "does not fit the template" in failure.message
    assert "residual" in failure.message
    (row,) = table(out)
    assert row["status"] == "failed"
    assert row["q1"] == ""
    assert row["total"] == ""
    assert row["review"] == "the whole sheet"
    assert [f.kind for f in result.findings] == ["sheet"]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_reads_the_same(shared_data, tmp_path, grade_files, turns):
    import numpy as np
    from PIL import Image

    sample = shared_data / "omr" / "sample4"
    with Image.open(sample / "IMG_20201116_143512.jpg") as photo:
        turned = np.rot90(np.asarray(photo.convert("RGB").resize((1400, 1400))), turns)
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(turned)).save(path)
    out = tmp_path / "marks.csv"
    result = grade_files(
        [path], sample / "template.json", out, key=sample / "evaluation.json", pictures=False
    )
    assert result.failures == ()
    assert table(out)[0]["total"] == "33"
