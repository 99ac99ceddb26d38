"""The workflow from files to marks.csv: duplicates, bad files, formulas, projects, cancelling."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.api import (
    CancelledError,
    CancelToken,
    FindingStatus,
    FormatError,
    UsageError,
    WorkflowContext,
    open_media,
)
from vlmtool_core.cli.main import run_cli
from vlmtool_core.hooks.manager import plugin_manager
from vlmtool_education.batch import run
from vlmtool_education.drawing import DemoSheets, draw_demo_sheets
from vlmtool_education.marks import guarded
from vlmtool_education.workflow import PARAMETERS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSheets:
    return draw_demo_sheets(tmp_path_factory.mktemp("demo"), students=3)


@pytest.fixture
def sheets(demo: DemoSheets, tmp_path: Path) -> Path:
    """A fresh folder with a copy of the demo's sheets."""
    folder = tmp_path / "scans 扫描 📄"
    shutil.copytree(demo.sheet_paths[0].parent, folder)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_every_drawn_sheet_reads_as_it_was_filled(demo, tmp_path, grade_files):
    out = tmp_path / "marks.csv"
    result = grade_files(demo.sheet_paths, demo.template_path, out, key=demo.key_path)
    assert result.failures == ()
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    for row in table(out):
        flagged = {entry.split(" ")[0] for entry in row["review"].split("; ")}
        for column, value in demo.truth[row["file"]].items():
            assert row[column] == value or column in flagged
        points = sum(float(v) for c, v in row.items() if c.endswith(" points"))
        assert float(row["total"]) == points
        assert row["max"] == "20"
    last = table(out)[-1]
    assert "q3 (blank)" in last["review"]
    assert "q8 (multiple)" in last["review"]
    assert "q12 (faint)" in last["review"]
    assert last["q8"] == "BC"
    assert last["status"] == "provisional"


def test_findings_point_into_the_photograph(demo, tmp_path, grade_files):
    result = grade_files(demo.sheet_paths[-1:], demo.template_path, tmp_path / "m.csv")
    findings = {f.data["question"]: f for f in result.findings}
    finding = findings["q8"]
    assert (finding.kind, finding.status) == ("bubble", FindingStatus.PENDING)
    assert (finding.label, finding.data["state"]) == ("BC", "multiple")
    assert finding.data["alternatives"] == [["A", "B", "C", "D"]]
    assert finding.data["fills"][0]["B"] > 0.6 > 0.2 > finding.data["fills"][0]["A"]
    with open_media(demo.sheet_paths[-1]) as source:
        pixels = source.frame(0).pixels
    x1, y1, x2, y2 = (round(v) for v in finding.box.xyxy)
    inside = pixels[y1:y2, x1:x2, 0]
    # Two of four bubbles are filled, so about a third of the box is dark.
    assert 0.15 < (inside < 110).mean() < 0.6


def test_bad_files_are_listed_and_the_rest_goes_on(demo, sheets, tmp_path):
    (sheets / "empty.jpg").write_bytes(b"")
    (sheets / "text.jpg").write_text("not a picture")
    whole = (sheets / "student-1.jpg").read_bytes()
    (sheets / "half.jpg").write_bytes(whole[: len(whole) // 3])
    Image.fromarray(np.full((300, 200, 3), 90, np.uint8)).save(sheets / "wall.png")
    (sheets / "notes.txt").write_text("left alone")
    out = tmp_path / "marks.csv"
    code = run_cli(
        [
            "education",
            "grade",
            str(sheets),
            "--template",
            str(demo.template_path),
            "--key",
            str(demo.key_path),
            "--out",
            str(out),
        ]
    )
    assert code == 1
    rows = {row["file"]: row for row in table(out)}
    assert len(rows) == 7
    for name in ("empty.jpg", "text.jpg", "half.jpg", "wall.png"):
        assert rows[name]["status"] == "failed"
        assert rows[name]["error"]
        assert rows[name]["total"] == ""
    assert all(rows[f"student-{n}.jpg"]["total"] for n in (1, 2, 3))
    assert (sheets / "student-1.jpg").read_bytes() == whole


def test_duplicates_by_content_and_by_roll_number_are_flagged(demo, sheets, tmp_path, grade_files):
    shutil.copy(sheets / "student-1.jpg", sheets / "copy.jpg")
    with Image.open(sheets / "student-2.jpg") as photo:
        photo.save(sheets / "again.png")
    out = tmp_path / "marks.csv"
    result = grade_files([sheets], demo.template_path, out, key=demo.key_path)
    rows = {row["file"]: row for row in table(out)}
    assert "the same file as student-1.jpg" in rows["copy.jpg"]["review"]
    assert "the same file as copy.jpg" in rows["student-1.jpg"]["review"]
    assert "stands also on student-2.jpg" in rows["again.png"]["review"]
    assert "same file" not in rows["again.png"]["review"]
    assert rows["student-2.jpg"]["status"] == "provisional"
    sheets_to_check = {Path(f.path).name for f in result.findings if f.kind == "sheet"}
    assert sheets_to_check == {"copy.jpg", "student-1.jpg", "student-2.jpg", "again.png"}


def test_files_of_one_name_in_two_folders_stay_apart(demo, tmp_path, grade_files):
    for name, source in zip("ab", demo.sheet_paths, strict=False):
        (tmp_path / name).mkdir()
        shutil.copy(source, tmp_path / name / "s.jpg")
    inputs = [tmp_path / "a" / "s.jpg", tmp_path / "b" / "s.jpg"]
    out = tmp_path / "marks.csv"
    result = grade_files(inputs, demo.template_path, out)
    rows = table(out)
    assert len({row["file"] for row in rows}) == 2
    assert [row["Roll"] for row in rows] == [
        demo.truth[path.name]["Roll"] for path in demo.sheet_paths[:2]
    ]
    pictures = [d.path for d in result.documents if d.kind == "picture"]
    assert len({p for p in pictures if p.is_file()}) == 2


@pytest.mark.parametrize("name", ["scan.tif", "scan.pdf"])
def test_pages_of_a_scanned_file_are_sheets(demo, tmp_path, grade_files, name):
    pages = [Image.open(path).convert("L") for path in demo.sheet_paths]
    path = tmp_path / name
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=150)
    out = tmp_path / "marks.csv"
    result = grade_files([path], demo.template_path, out)
    assert [row["file"] for row in table(out)] == [name, f"{name}#2", f"{name}#3"]
    assert [row["Roll"] for row in table(out)] == [t["Roll"] for t in demo.truth.values()]
    assert {f.frame for f in result.findings} == {2}


def test_a_second_run_does_not_read_its_own_pictures(demo, sheets, grade_files):
    out = sheets / "marks.csv"
    first = grade_files([sheets], demo.template_path, out)
    second = grade_files([sheets], demo.template_path, out)
    assert len(first.rows) == len(second.rows) == 3


def test_the_same_input_gives_the_same_table(demo, tmp_path, grade_files):
    hashes = set()
    for name in ("a", "b"):
        out = tmp_path / name / "marks.csv"
        grade_files(demo.sheet_paths, demo.template_path, out, key=demo.key_path, pictures=False)
        hashes.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|'x'", "'+cmd|'x'"),
        ("-1+2", "'-1+2"),
        ("\t=1", "'\t=1"),
        ("-2", "-2"),
        ("-0.6667", "-0.6667"),
        ("BC", "BC"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(value, safe):
    assert guarded(value) == safe


def test_statistics_count_answers_and_right_ones(demo, tmp_path, grade_files):
    out = tmp_path / "marks.csv"
    grade_files(demo.sheet_paths, demo.template_path, out, key=demo.key_path)
    statistics = json.loads((tmp_path / "marks-statistics.json").read_text())
    assert statistics["sheets"] == 3
    for name, entry in statistics["questions"].items():
        assert sum(entry["answers"].values()) == 3
        if name != "Roll":
            right = sum(row[f"{name} points"] == "1" for row in table(out))
            assert entry["correct"] == right


def test_thresholds_that_contradict_each_other_are_refused(demo, tmp_path, grade_files):
    with pytest.raises(UsageError):
        grade_files(demo.sheet_paths, demo.template_path, tmp_path / "m.csv", faint=50.0, mark=40.0)


def test_a_broken_template_stops_before_anything_is_written(demo, tmp_path, grade_files):
    broken = tmp_path / "template.json"
    broken.write_text("{}")
    with pytest.raises(FormatError):
        grade_files(demo.sheet_paths, broken, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_an_empty_folder_is_a_wrong_call(demo, tmp_path, grade_files):
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError):
        grade_files([tmp_path / "none"], demo.template_path, tmp_path / "m.csv")


def test_cancelling_writes_no_table(demo, tmp_path):
    cancel = CancelToken()
    cancel.cancel()
    out = tmp_path / "marks.csv"
    values = {p.name: p.default for p in PARAMETERS}
    values |= {"template": demo.template_path, "out": out}
    context = WorkflowContext(demo.sheet_paths, tmp_path, values, lambda: None, cancel=cancel)
    with pytest.raises(CancelledError):
        run(context)
    assert not out.exists()


def test_findings_land_in_the_review_queue_of_a_project(demo, sheets, tmp_path):
    project = tmp_path / "project"
    assert run_cli(["project", "new", str(project)]) == 0
    assert run_cli(["add", str(project), str(sheets)]) == 0
    code = run_cli(
        [
            "education",
            "grade",
            str(sheets),
            "--template",
            str(demo.template_path),
            "--out",
            str(tmp_path / "m.csv"),
            "--project",
            str(project),
        ]
    )
    assert code == 0
    from vlmtool_core.project import Project

    with Project.open(project) as opened:
        findings = opened.findings(workflow="education.grade")
    assert {"q3", "q8", "q12"} <= {f.data["question"] for f in findings}
    assert all(f.item_id is not None and f.status is FindingStatus.PENDING for f in findings)


def test_the_sample_of_the_workflow_runs(tmp_path):
    workflow = plugin_manager().workflow("education.grade")
    sample = workflow.sample(tmp_path / "sample")
    values = {p.name: p.default for p in PARAMETERS} | dict(sample.values)
    context = WorkflowContext(sample.inputs, tmp_path / "out", values, lambda: None)
    result = workflow.run(context)
    assert len(result.rows) == 4
    assert all(document.path.is_file() for document in result.documents)


def test_the_plugin_loads_without_image_libraries():
    code = (
        "import sys, vlmtool_education as e\n"
        "e.plugin_info(); e.register_label_sets(); e.register_workflows()\n"
        "heavy = {'cv2', 'scipy', 'PIL', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
