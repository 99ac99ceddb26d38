"""The commands project, add, show, import and export, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.cli.main import run_cli
from vlmtool_core.project import Project
from vlmtool_core.records import Box, ModelIdentity, Outcome, OutcomeStatus, Score, Task
from vlmtool_core.store.records import NewPrediction


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def media(tmp_path: Path) -> Path:
    for seed, name in enumerate(["x/a.png", "x/a.jpg", "y 中文/a.png"]):
        picture(tmp_path / "media" / name, seed)
    return tmp_path / "media"


@pytest.fixture
def project(tmp_path: Path, media: Path, capsys: pytest.CaptureFixture[str]) -> str:
    root = str(tmp_path / "p")
    assert run_cli(["project", "new", root, "--name", "Test"]) == 0
    assert run_cli(["add", root, str(media)]) == 0
    capsys.readouterr()
    return root


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_cli(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def predict(root: str) -> None:
    with Project.open(root) as project:
        ids = project.store.items.ids_by_name()
        classify = project.store.runs.start(Task.CLASSIFY, ModelIdentity("m", "7"), {}, "a")
        scores = Outcome(OutcomeStatus.OK, scores=(Score("=cat", 0.75), Score("dog", 0.25)))
        failed = Outcome.failed(ValueError("boom"))
        rows = [NewPrediction(ids["x/a.png"], 0, scores), NewPrediction(ids["x/a.jpg"], 0, failed)]
        project.store.runs.add(classify, rows)
        detect = project.store.runs.start(Task.DETECT, ModelIdentity("d", "1"), {}, "b")
        boxes = Outcome(OutcomeStatus.OK, boxes=(Box(1, 2, 3, 4, "cat", 0.5),))
        empty = Outcome(OutcomeStatus.EMPTY)
        rows = [NewPrediction(ids["x/a.png"], 0, boxes), NewPrediction(ids["x/a.jpg"], 0, empty)]
        project.store.runs.add(detect, rows)


def test_new_info_and_the_errors_around_them(capsys, project: str, tmp_path: Path) -> None:
    code, out, _ = run(capsys, "project", "info", project, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["name"], found["items"], found["audit_log"]) == ("Test", {"image": 3}, "whole")
    code, out, _ = run(capsys, "project", "info", project)
    assert (code, "3 image" in out) == (0, True)
    code, _, err = run(capsys, "project", "new", project)
    assert (code, "there is a project in this folder" in err) == (2, True)
    code, _, err = run(capsys, "project", "info", str(tmp_path / "none"))
    assert (code, "project new DIR" in err) == (2, True)


def test_add_lists_what_it_cannot_read(capsys, project: str, media: Path) -> None:
    (media / "broken.png").touch()
    (media / "text.jpg").write_text("x")
    picture(media / "more.png", 9)
    code, out, err = run(capsys, "add", project, str(media))
    assert (code, out) == (1, "")
    assert "1 added, 3 unchanged, 2 unreadable" in err
    assert "unreadable: broken.png:" in err
    code, out, _ = run(capsys, "add", project, str(media), "--json")
    found = json.loads(out)
    assert code == 1
    assert {entry["item"] for entry in found["unreadable"]} == {"broken.png", "text.jpg"}
    assert all(entry["error"]["message"] for entry in found["unreadable"])


def test_add_with_a_wrong_pattern_or_path(capsys, project: str, media: Path) -> None:
    code, _, err = run(capsys, "add", project, str(media), "--group-by", "(")
    assert (code, "group-by" in err) == (2, True)
    code, _, err = run(capsys, "add", project, str(media / "none"))
    assert code == 1
    assert "no such file or folder" in err
    code, _, _ = run(capsys, "add", project, str(media), "--group-by", "folder")
    assert code == 0
    with Project.open(project) as opened:
        assert opened.groups() == ["x", "y 中文"]


def test_show_names_the_model_that_spoke(capsys, project: str) -> None:
    predict(project)
    code, out, _ = run(capsys, "show", project)
    assert code == 0
    rows = {line.split("\t")[0]: line for line in out.splitlines()}
    assert "classify: =cat 0.75 (m 7)" in rows["x/a.png"]
    assert "detect: 1 boxes (d 1)" in rows["x/a.png"]
    assert "classify: failed: ValueError: boom (m 7)" in rows["x/a.jpg"]
    assert "detect: nothing found (d 1)" in rows["x/a.jpg"]
    code, out, err = run(capsys, "show", project, "--limit", "1", "--json")
    assert [entry["item"] for entry in json.loads(out)] == ["x/a.jpg"]
    code, out, _ = run(capsys, "show", project, "x/a.png", "--json")
    found = json.loads(out)
    assert found["predictions"][0]["model"] in {"m", "d"}
    assert found["annotations"] == []
    code, out, _ = run(capsys, "show", project, "x/a.png")
    assert "0.75" in out
    code, _, err = run(capsys, "show", project, "a.png")
    assert (code, "no such item" in err) == (2, True)


def test_show_filters(capsys, project: str) -> None:
    with Project.open(project) as opened:
        opened.set_label([opened.find_item("x/a.png").id], "cat")
    for options, expected in [
        (["--label", "cat"], ["x/a.png"]),
        (["--status", "unlabelled"], ["x/a.jpg", "y 中文/a.png"]),
        (["--text", "中文"], ["y 中文/a.png"]),
        (["--kind", "video"], []),
    ]:
        _, out, _ = run(capsys, "show", project, "--json", *options)
        assert [entry["item"] for entry in json.loads(out)] == expected


def test_undo_redo_and_history(capsys, project: str) -> None:
    with Project.open(project) as opened:
        opened.set_label(opened.item_ids(), "cat")
    _, out, _ = run(capsys, "project", "undo", project, "--json")
    assert json.loads(out) == {"undone": "label 3 items: cat"}
    _, out, _ = run(capsys, "project", "history", project, "--json")
    assert [entry["undone"] for entry in json.loads(out)] == [True]
    _, _, err = run(capsys, "project", "redo", project)
    assert "Redone: label 3 items: cat" in err
    _, _, err = run(capsys, "project", "redo", project)
    assert "Nothing to be redone." in err
    _, out, _ = run(capsys, "project", "history", project)
    assert "label 3 items: cat" in out
    with Project.open(project) as opened:
        assert [item.labels for item in opened.items()] == [("cat",)] * 3


@pytest.mark.parametrize("name", ["jsonl", "csv", "coco"])
def test_annotations_go_out_and_come_in(
    capsys, project: str, media: Path, tmp_path: Path, name: str
) -> None:
    with Project.open(project) as opened:
        ids = opened.item_ids()
        opened.set_label(ids[:2], "cat")
        opened.add_box(ids[2], 0, Box(0.1, 0.2, 1 / 3, 2 / 3, "=x"))
        opened.add_text(ids[0], 0, "a text")
    out = tmp_path / f"out.{'json' if name == 'coco' else name}"
    code, _, err = run(capsys, "export", project, "--format", name, "--out", str(out))
    assert (code, f"Wrote {out}" in err) == (0, True)
    other = str(tmp_path / "other")
    run(capsys, "project", "new", other)
    run(capsys, "add", other, str(media))
    code, report, _ = run(capsys, "import", other, str(out), "--json")
    assert (code, json.loads(report)) == (0, {"read": 4, "changed": 4, "unknown": []})
    again = tmp_path / f"again{out.suffix}"
    run(capsys, "export", other, "--format", name, "--out", str(again))
    with Project.open(project) as one, Project.open(other) as two:
        assert [(a.kind, a.label, a.box, a.text) for a in one.annotations()] == [
            (a.kind, a.label, a.box, a.text)
            for a in sorted(two.annotations(), key=lambda a: (a.item_id, a.kind != "label"))
        ]
    code, printed, _ = run(capsys, "export", project, "--format", name)
    assert printed == out.read_text(encoding="utf-8").replace("\r\n", "\n") or name == "csv"


def test_a_wrong_import_says_where_and_takes_nothing(capsys, project: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("item,label\nx/a.png,cat\nx/b.png,cat\n")
    code, _, err = run(capsys, "import", project, str(table))
    assert code == 1
    assert "labels.csv" in err
    assert "x/b.png" in err
    assert "What to do:" in err
    code, _, err = run(capsys, "import", project, str(table), "--skip-unknown")
    assert (code, "left out: x/b.png" in err) == (0, True)


def test_predictions_go_out_and_result_files_change_format(
    capsys, project: str, tmp_path: Path
) -> None:
    predict(project)
    out = tmp_path / "r.jsonl"
    options = ["--what", "predictions", "--out", str(out)]
    assert run(capsys, "export", project, *options)[0] == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(row["item"], row["task"], row["outcome"]) for row in rows} == {
        ("x/a.png", "classify", "ok"),
        ("x/a.jpg", "classify", "failed"),
        ("x/a.png", "detect", "ok"),
        ("x/a.jpg", "detect", "empty"),
    }
    _, coco, _ = run(capsys, "export", str(out), "--format", "coco")
    assert len(json.loads(coco)["annotations"]) == 1
    _, table, _ = run(capsys, "export", str(out), "--format", "csv", "--task", "classify")
    assert "'=cat" in table
    code, _, err = run(capsys, "export", project, "--task", "detect")
    assert (code, "--what predictions" in err) == (2, True)


def test_an_export_that_fails_leaves_the_old_file(capsys, tmp_path: Path) -> None:
    source = tmp_path / "r.jsonl"
    source.write_text("{broken\n")
    out = tmp_path / "out.csv"
    out.write_text("old")
    code, _, err = run(capsys, "export", str(source), "--format", "csv", "--out", str(out))
    assert (code, "line 1" in err) == (1, True)
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["out.csv", "r.jsonl"]


def test_labels_and_backup(capsys, project: str) -> None:
    code, out, _ = run(capsys, "project", "labels", project, "--add", "cat", "--several", "--json")
    found = json.loads(out)
    assert (code, found["exclusive"]) == (0, False)
    assert [label["name"] for label in found["labels"]] == ["cat"]
    with Project.open(project) as opened:
        opened.set_label([1], "cat")
        opened.set_label([1], "dog")
    code, _, err = run(capsys, "project", "labels", project, "--exclusive")
    assert (code, "several labels" in err) == (2, True)
    code, _, err = run(capsys, "project", "labels", project, "--set", "nothing")
    assert (code, "scene" in err) == (2, True)
    code, out, _ = run(capsys, "project", "labels", project, "--set", "scene")
    assert (code, "indoors" in out) == (0, True)
    code, _, err = run(capsys, "project", "backup", project)
    assert (code, "Wrote " in err) == (0, True)
