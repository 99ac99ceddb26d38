"""Predictions in the panel and over the picture: accept, reject, edit, and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from tests.desktop.conftest import Opened

from vlmtool_core.project import PredictionRecord, Project
from vlmtool_core.records import (
    Box,
    ErrorInfo,
    FindingStatus,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
    TextLine,
)
from vlmtool_core.store.records import NewPrediction
from vlmtool_desktop.canvas.shapes import ShapeKind
from vlmtool_desktop.dialogs.seen_dialog import SeenDialog
from vlmtool_desktop.dialogs.text_dialog import TextDialog
from vlmtool_desktop.session import Overlay

OK = OutcomeStatus.OK
SCORES = Outcome(OK, scores=(Score("cat", 0.7), Score("dog", 0.2), Score("bird", 0.1)))
BOXES = Outcome(OK, boxes=(Box(10, 10, 60, 50, "cat", 0.9), Box(70, 20, 120, 90, "dog", 0.4)))
CAPTION = Outcome(OK, text="A red disc.")
QUAD = ((10.0, 10.0), (90.0, 12.0), (90.0, 30.0), (10.0, 28.0))
LINES = Outcome(OK, lines=(TextLine("Room 12", QUAD, 0.93),))
FAILED = Outcome(
    OutcomeStatus.FAILED, error=ErrorInfo("inference", "out of memory", "Use a smaller batch.")
)


def put(opened: Opened, task: Task, outcome: Outcome) -> int:
    """Store a prediction for the first item as a run does, and show it; returns the item."""
    item = opened.window.library.model.id_at(0)
    assert item is not None

    def work(project: Project) -> None:
        model = ModelIdentity("test-model", "1.2")
        run = project.store.runs.start(task, model, {}, f"fingerprint of {task}")
        project.store.runs.add(run, [NewPrediction(item, 0, outcome)])
        project.store.runs.finish(run)

    count = opened.window.predictions.tree.topLevelItemCount()
    opened.window.project.write(work)
    opened.wait(lambda: opened.window.predictions.tree.topLevelItemCount() == count + 1)
    return item


def choose(opened: Opened, *position: int) -> None:
    tree = opened.window.predictions.tree
    item = tree.topLevelItem(position[0])
    assert item is not None
    for child in position[1:]:
        item = item.child(child)
        assert item is not None
    tree.setCurrentItem(item)
    tree.setFocus()


def decision(opened: Opened, item: int) -> FindingStatus:
    found = opened.stored(lambda p: p.predictions(item))
    assert isinstance(found, list)
    first = found[0]
    assert isinstance(first, PredictionRecord)
    return first.decision


def labels(opened: Opened, item: int) -> Sequence[str]:
    found = opened.stored(lambda p: p.item(item).labels)
    assert isinstance(found, tuple)
    return found


def annotations(opened: Opened, item: int) -> list[tuple[str, str]]:
    found = opened.stored(lambda p: [(a.kind, a.label or a.text) for a in p.annotations(item)])
    assert isinstance(found, list)
    return found


def test_a_prediction_shows_task_model_and_scores(on_project: Opened) -> None:
    put(on_project, Task.CLASSIFY, SCORES)
    top = on_project.window.predictions.tree.topLevelItem(0)
    assert top is not None
    assert top.text(0) == "Classify · test-model 1.2"
    assert top.text(1) == "open"
    parts = [(top.child(n).text(0), top.child(n).text(1)) for n in range(top.childCount())]
    assert parts == [("cat", "70%"), ("dog", "20%"), ("bird", "10%")]


def test_accept_makes_a_label(on_project: Opened) -> None:
    item = put(on_project, Task.CLASSIFY, SCORES)
    choose(on_project, 0)
    QTest.keyClick(on_project.window.predictions.tree, Qt.Key.Key_Return)
    assert decision(on_project, item) is FindingStatus.ACCEPTED
    assert labels(on_project, item) == ("cat",)
    tree = on_project.window.predictions.tree
    on_project.wait(lambda: tree.topLevelItem(0).text(1) == "accepted")
    on_project.window.project.undo()
    assert decision(on_project, item) is FindingStatus.PENDING
    assert labels(on_project, item) == ()
    assert not on_project.errors


def test_accepting_another_score_is_an_edit(on_project: Opened) -> None:
    item = put(on_project, Task.CLASSIFY, SCORES)
    choose(on_project, 0, 1)
    on_project.window.predictions.accept_button.click()
    assert decision(on_project, item) is FindingStatus.EDITED
    assert labels(on_project, item) == ("dog",)


def test_reject_makes_nothing(on_project: Opened) -> None:
    item = put(on_project, Task.CLASSIFY, SCORES)
    choose(on_project, 0)
    QTest.keyClick(on_project.window.predictions.tree, Qt.Key.Key_Backspace)
    assert decision(on_project, item) is FindingStatus.REJECTED
    assert annotations(on_project, item) == []


def test_edit_asks_for_the_right_label(on_project: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextDialog, "ask", lambda *_args, **_kwargs: "bird")
    item = put(on_project, Task.CLASSIFY, SCORES)
    choose(on_project, 0)
    QTest.keyClick(on_project.window.predictions.tree, Qt.Key.Key_E)
    assert decision(on_project, item) is FindingStatus.EDITED
    assert labels(on_project, item) == ("bird",)


def test_boxes_are_drawn_and_one_of_them_accepted(on_project: Opened) -> None:
    item = put(on_project, Task.DETECT, BOXES)
    canvas = on_project.window.viewer.canvas
    on_project.wait(lambda: len(canvas.shapes) == 2)
    assert {shape.kind for shape in canvas.shapes} == {ShapeKind.PREDICTION}
    assert canvas.shapes[0].text == "cat 90%"
    choose(on_project, 0, 1)
    on_project.window.predictions.accept()
    assert annotations(on_project, item) == [("box", "dog")]
    on_project.wait(lambda: [s.kind for s in canvas.shapes] == [ShapeKind.ANNOTATION])


def test_all_boxes_are_accepted_at_once(on_project: Opened) -> None:
    item = put(on_project, Task.DETECT, BOXES)
    choose(on_project, 0)
    on_project.window.predictions.accept()
    assert annotations(on_project, item) == [("box", "cat"), ("box", "dog")]
    assert decision(on_project, item) is FindingStatus.ACCEPTED


def test_captions_and_read_text_lie_over_the_picture(on_project: Opened) -> None:
    put(on_project, Task.CAPTION, CAPTION)
    put(on_project, Task.READ, LINES)
    canvas = on_project.window.viewer.canvas
    on_project.wait(lambda: canvas.caption == "A red disc.")
    assert canvas.outlines[0].text == "Room 12"
    assert canvas.outlines[0].points == QUAD
    on_project.window.session.toggle_overlay(Overlay.CAPTION)
    on_project.window.session.toggle_overlay(Overlay.TEXT)
    assert canvas.caption == ""
    assert canvas.outlines == []


def test_a_corrected_caption_is_kept_as_text(
    on_project: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextDialog, "ask", lambda *_args, **_kwargs: "A red ball.")
    item = put(on_project, Task.CAPTION, CAPTION)
    choose(on_project, 0)
    on_project.window.predictions.edit()
    assert annotations(on_project, item) == [("text", "A red ball.")]


def test_a_failure_shows_its_reason_and_cannot_be_accepted(on_project: Opened) -> None:
    item = put(on_project, Task.CLASSIFY, FAILED)
    choose(on_project, 0)
    panel = on_project.window.predictions
    top = panel.tree.topLevelItem(0)
    assert top is not None
    assert top.text(1) == "failed"
    texts = [top.child(n).text(0) for n in range(top.childCount())]
    assert texts == ["out of memory", "Use a smaller batch."]
    assert not panel.accept_button.isEnabled()
    panel.accept()
    assert decision(on_project, item) is FindingStatus.PENDING


def test_looked_and_found_nothing_is_not_a_failure(on_project: Opened) -> None:
    put(on_project, Task.DETECT, Outcome(OutcomeStatus.EMPTY))
    top = on_project.window.predictions.tree.topLevelItem(0)
    assert top is not None
    assert top.text(1) == "open"
    assert "found nothing" in top.child(0).text(0)


def test_accept_and_go_on(on_project: Opened) -> None:
    item = put(on_project, Task.CLASSIFY, SCORES)
    window = on_project.window
    QTest.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert window.library.position()[0] == 2
    assert labels(on_project, item) == ("cat",)


def test_a_persons_work_is_never_changed_by_a_run(on_project: Opened) -> None:
    window = on_project.window
    item = window.session.item
    assert item is not None
    window.project.label([item], "dog")
    put(on_project, Task.CLASSIFY, SCORES)
    assert labels(on_project, item) == ("dog",)


def test_overlays_can_be_hidden(on_project: Opened) -> None:
    put(on_project, Task.DETECT, BOXES)
    canvas = on_project.window.viewer.canvas
    on_project.wait(lambda: len(canvas.shapes) == 2)
    QTest.keyClick(on_project.window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert canvas.shapes == []


def test_what_the_model_saw(on_project: Opened) -> None:
    provenance = {"crop": [20, 0, 140, 120], "input": [60, 60], "picture": {"format": "PNG"}}
    put(on_project, Task.CLASSIFY, replace(SCORES, provenance=provenance))
    put(on_project, Task.CAPTION, FAILED)
    panel = on_project.window.predictions
    texts = [panel.tree.topLevelItem(row).text(1) for row in (0, 1)]
    failed = texts.index("failed")
    choose(on_project, failed)
    assert not panel.seen_button.isEnabled()
    choose(on_project, 1 - failed)
    panel.seen_button.click()

    def dialog() -> SeenDialog | None:
        found = on_project.window.findChildren(SeenDialog)
        return next((one for one in found if one.isVisible()), None)

    on_project.wait(lambda: dialog() is not None)
    shown = dialog()
    assert shown is not None
    assert shown.picture.pixmap().width() == 600
    assert any("decoder" in note for note in shown.notes)
    assert '"crop"' in shown.facts.toPlainText()
    shown.reject()
