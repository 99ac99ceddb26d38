"""Annotations out and in: exact, whole or not at all, one undoable step."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmtool_core.errors import FormatError
from vlmtool_core.formats import FORMATS, read_results, write_annotations, write_results
from vlmtool_core.project import Project
from vlmtool_core.project.exchange import annotation_rows, import_annotations, result_rows
from vlmtool_core.records import (
    Box,
    LabelSet,
    MediaKind,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
)
from vlmtool_core.store.records import NewItem, NewPrediction

ITEMS = ("a/img 1.png", "a/img 1.jpg", "b/img 1.png", "中文/=😀.png")


def make(root: Path, *, exclusive: bool = False) -> Project:
    project = Project.create(root, author="Ada")
    project.set_label_set(LabelSet("s", (), exclusive=exclusive))
    project.store.items.add_many(
        [
            NewItem(
                n, Path("/m") / n, MediaKind.IMAGE, f"{i:064x}", frame_count=3, width=9, height=8
            )
            for i, n in enumerate(ITEMS)
        ]
    )
    return project


def annotate(project: Project) -> None:
    ids = project.store.items.ids_by_name()
    project.set_label([ids[ITEMS[0]], ids[ITEMS[3]]], "cat")
    project.set_label([ids[ITEMS[0]]], "=dog")
    project.set_label([ids[ITEMS[1]]], "cat", frame=2)
    project.add_box(ids[ITEMS[1]], 0, Box(0.1, 0.2, 0.1 + 0.2, 7 / 3, "cat"))
    project.add_box(ids[ITEMS[2]], 1, Box(0, 0, 1, 1, ""))
    project.add_text(ids[ITEMS[3]], 0, 'a "text",\nwith lines', "note")


def content(project: Project) -> set[tuple[object, ...]]:
    names = {item.id: item.name for item in project.items()}
    return {
        (names[a.item_id], a.frame, a.kind, a.label, a.box, a.text, a.author)
        for a in project.annotations()
    }


def export(project: Project, name: str, path: Path) -> Path:
    path.write_text(
        "".join(write_annotations(name, annotation_rows(project))), encoding="utf-8", newline=""
    )
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_project_comes_back_whole(tmp_path: Path, name: str) -> None:
    with make(tmp_path / "one") as one, make(tmp_path / "two") as two:
        annotate(one)
        file = export(one, name, tmp_path / "file")
        report = import_annotations(two, file, name)
        assert (report.read, report.changed, report.unknown) == (7, 7, ())
        assert content(two) == content(one)
        # Again: nothing is there twice, and nothing is a step.
        assert import_annotations(two, file, name).changed == 0
        assert len(two.history()) == 1
        assert two.undo() == "import 7 annotations from file"
        assert two.annotations() == []
        assert two.redo() is not None
        assert content(two) == content(one)


def test_unknown_items_stop_the_import_or_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    unknown = "".join(f"no {i}.png,cat\n" for i in range(15))
    file.write_text(f"item,label\n{ITEMS[0]},cat\n{unknown}img 1.png,cat\n")
    with make(tmp_path / "p") as project:
        with pytest.raises(FormatError) as caught:
            import_annotations(project, file, "csv")
        assert "16 items are not in the project: no 0.png" in caught.value.message
        assert "and 6 more" in caught.value.message
        assert "--skip-unknown" in caught.value.remedy
        assert project.annotations() == []
        report = import_annotations(project, file, "csv", skip_unknown=True)
        assert (report.changed, len(report.unknown)) == (1, 16)
        assert "img 1.png" in report.unknown  # a base name is not enough


def test_an_item_may_be_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("item,label\n/m/b/img 1.png,cat\n")
    with make(tmp_path / "p") as project:
        import_annotations(project, file, "csv")
        assert content(project) == {("b/img 1.png", 0, "label", "cat", None, None, "Ada")}


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        (f"{ITEMS[1]},cat,3,", "row 3, frame", "has 3 frames"),
        (f"{ITEMS[1]},cat,0,{'f' * 64}", "row 3, sha256", "other content"),
        (f"{ITEMS[0]},dog,0,", "row 3, label", "two labels, 'cat' and 'dog'"),
        (f"{ITEMS[1]},,0,", "row 3, label", "needs one"),
    ],
)
def test_one_wrong_row_takes_nothing_in(tmp_path: Path, row: str, field: str, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"item,label,frame,sha256\n{ITEMS[0]},cat,0,\n{row}\n")
    with make(tmp_path / "p", exclusive=True) as project:
        with pytest.raises(FormatError) as caught:
            import_annotations(project, file, "csv")
        assert caught.value.field == field
        assert said in caught.value.message
        assert caught.value.path == str(file)
        assert project.annotations() == []
        assert project.history() == []


def test_an_exclusive_label_is_replaced_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"item,label,author\n{ITEMS[0]},dog,Bob\n")
    with make(tmp_path / "p", exclusive=True) as project:
        project.set_label([1], "cat")
        assert import_annotations(project, file, "csv").changed == 1
        assert [(a.label, a.author) for a in project.annotations()] == [("dog", "Bob")]
        project.undo()
        assert [(a.label, a.author) for a in project.annotations()] == [("cat", "Ada")]


def test_predictions_go_out_newest_first(tmp_path: Path) -> None:
    with make(tmp_path / "p") as project:
        old, new = (
            project.store.runs.start(Task.CLASSIFY, ModelIdentity("m", v), {}, v) for v in "12"
        )

        def scored(score: float) -> Outcome:
            return Outcome(OutcomeStatus.OK, scores=(Score("cat", score),))

        project.store.runs.add(
            old, [NewPrediction(i, 0, scored(0.1), sha256="x", size=(9, 8)) for i in (1, 2)]
        )
        project.store.runs.add(new, [NewPrediction(1, 0, scored(0.9), 1.5)])
        rows = list(result_rows(project))
        assert [(r.item, r.model.version, r.outcome.scores[0].score) for r in rows] == [
            (ITEMS[0], "2", 0.9),
            (ITEMS[1], "1", 0.1),
        ]
        assert len(list(result_rows(project, newest_only=False))) == 3
        assert list(result_rows(project, task=Task.DETECT)) == []
        file = tmp_path / "r.jsonl"
        file.write_text("".join(write_results("jsonl", rows)))
        assert list(read_results("jsonl", file)) == rows
