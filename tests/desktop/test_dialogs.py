"""Dialogs: what they ask for, what they refuse, and what they show of errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QWidget
from pytestqt.qtbot import QtBot
from tests.desktop.conftest import LABELS, Opened

from vlmtool_core.errors import UsageError
from vlmtool_core.hooks.workflow import (
    Parameter,
    ParameterKind,
    RegionSpec,
    Workflow,
    WorkflowContext,
    WorkflowResult,
)
from vlmtool_core.jobs import Progress
from vlmtool_core.records import ErrorInfo, Label, LabelSet, MediaKind, Task
from vlmtool_core.settings import Settings, load_settings
from vlmtool_desktop.canvas.tools import RegionTool
from vlmtool_desktop.dialogs.error_dialog import ErrorDialog
from vlmtool_desktop.dialogs.help_dialogs import AboutDialog, CheatSheet, HelpDialog, help_pages
from vlmtool_desktop.dialogs.labels_dialog import LabelsDialog
from vlmtool_desktop.dialogs.project_dialogs import AddDialog, NewProjectDialog
from vlmtool_desktop.dialogs.run_dialog import RunChoices, RunDialog
from vlmtool_desktop.dialogs.settings_dialog import SettingsDialog
from vlmtool_desktop.dialogs.train_dialog import TrainDialog
from vlmtool_desktop.dialogs.workflow_dialog import WorkflowDialog, WorkflowResultDialog
from vlmtool_desktop.installed import Installed, PackLine
from vlmtool_desktop.jobs_text import duration, progress_text

PACKS = (
    PackLine("starter-vision", "0.1.0", "Vision", ("classify", "embed"), 1),
    PackLine("starter-faces", "1.5.0", "Faces", ("detect",), 1),
)
CHOICES = RunChoices(
    Installed(PACKS),
    LABELS,
    current=3,
    selection=(3, 4),
    listed=(3, 4, 5),
    total=9,
    versions=("v2", "v1"),
    active="v2",
)


def choose(dialog: RunDialog, task: Task) -> None:
    dialog.task.setCurrentIndex(dialog.task.findData(task))


# Run ------------------------------------------------------------------------------------------


def test_run_offers_models_of_the_task_and_trained_versions(qtbot: QtBot) -> None:
    dialog = RunDialog(CHOICES)
    qtbot.addWidget(dialog)
    models = [dialog.model.itemData(n) for n in range(dialog.model.count())]
    assert models == ["v2", "v1", None, "starter-vision"]
    assert dialog.model.currentData() == "v2"
    choose(dialog, Task.DETECT)
    models = [dialog.model.itemData(n) for n in range(dialog.model.count())]
    assert models == [None, "starter-faces"]


def test_run_of_the_selection_with_the_projects_labels(qtbot: QtBot) -> None:
    dialog = RunDialog(CHOICES)
    qtbot.addWidget(dialog)
    dialog.threshold.setValue(0.25)
    request = dialog.request()
    assert request.spec.task is Task.CLASSIFY
    assert [label.name for label in request.spec.labels] == ["cat", "dog", "bird"]
    assert request.spec.threshold == pytest.approx(0.25)
    assert request.item_ids == (3, 4)


def test_run_over_all_items_with_labels_of_its_own(qtbot: QtBot) -> None:
    dialog = RunDialog(CHOICES)
    qtbot.addWidget(dialog)
    dialog.label_source.setCurrentIndex(dialog.label_source.findData("these"))
    dialog.labels.setText("cat, empty room , cat,")
    buttons = dialog.items.buttons()
    assert [b.text() for b in buttons] == [
        "The item in the viewer",
        "The 2 selected",
        "The 3 listed",
        "All 9",
    ]
    buttons[-1].click()
    request = dialog.request()
    assert [label.name for label in request.spec.labels] == ["cat", "empty room"]
    assert request.item_ids is None
    assert request.spec.threshold is None


@pytest.mark.parametrize(("task", "field"), [(Task.ASK, "question"), (Task.CLASSIFY, "labels")])
def test_run_says_what_is_missing_and_stays_open(qtbot: QtBot, task: Task, field: str) -> None:
    dialog = RunDialog(CHOICES)
    qtbot.addWidget(dialog)
    choose(dialog, task)
    if task is Task.CLASSIFY:
        dialog.label_source.setCurrentIndex(dialog.label_source.findData("these"))
    dialog.show()
    dialog.run_button.click()
    assert dialog.isVisible()
    assert dialog.message.text()
    with pytest.raises(UsageError) as error:
        dialog.request()
    assert error.value.field == field


def test_run_shows_only_the_fields_of_the_task(qtbot: QtBot) -> None:
    dialog = RunDialog(CHOICES)
    qtbot.addWidget(dialog)
    dialog.show()
    choose(dialog, Task.ASK)
    assert dialog.question.isVisible()
    assert not dialog.threshold.isVisible()
    assert not dialog.label_source.isVisible()
    dialog.question.setText("Is there a cat?")
    assert dialog.request().spec.question == "Is there a cat?"
    choose(dialog, Task.READ)
    assert not dialog.question.isVisible()
    assert dialog.request().spec.question is None


# Workflows ------------------------------------------------------------------------------------


def nothing(_context: WorkflowContext) -> WorkflowResult:
    return WorkflowResult("nothing")


KIND = ParameterKind
PARAMETERS = (
    Parameter("title", KIND.TEXT, "Title", "A text", default="x"),
    Parameter("count", KIND.INTEGER, "Count", "A number", default="5", minimum=1, maximum=9),
    Parameter("gap", KIND.NUMBER, "Gap", "Seconds", default=0.5, unit="s", minimum=0, maximum=2),
    Parameter("limit", KIND.NUMBER, "Limit", "Left out is automatic", minimum=0),
    Parameter("fast", KIND.SWITCH, "Fast", "On or off", default="no"),
    Parameter("mode", KIND.CHOICE, "Mode", "One of", default="b", choices=("a", "b")),
    Parameter("template", KIND.INPUT_FILE, "Template", "A file", required=True),
    Parameter("out", KIND.OUTPUT_FOLDER, "Out", "A folder"),
    Parameter("names", KIND.LABELS, "Names", "Labels", default=(Label("cat"), Label("dog"))),
)
FLOW = Workflow(
    "test",
    "demo",
    "Test",
    "A workflow for tests.",
    (MediaKind.IMAGE,),
    nothing,
    parameters=PARAMETERS,
    regions=(RegionSpec("door", "box", "Where the door is", 1, 2),),
    intended_use="For tests only.",
)


@pytest.fixture
def form(qtbot: QtBot, tmp_path: Path) -> WorkflowDialog:
    file = tmp_path / "in.png"
    file.write_bytes(b"x")
    dialog = WorkflowDialog(FLOW, [file])
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def test_a_form_has_a_field_for_each_parameter_with_its_default(form: WorkflowDialog) -> None:
    assert form.values() == {
        "title": "x",
        "count": 5,
        "gap": 0.5,
        "fast": False,
        "mode": "b",
        "names": "cat, dog",
    }
    assert form.fields["gap"].widget.toolTip() == ""
    assert [w.accessibleName() for w in form.findChildren(QWidget) if w.accessibleName()].count(
        "Gap"
    ) == 1


def test_a_form_says_which_field_is_wrong(form: WorkflowDialog, tmp_path: Path) -> None:
    assert form.check() == "Template: a value is required"
    form.fields["template"].set_value(str(tmp_path / "missing.json"))
    assert form.check() == "Template: there is no such file"
    form.run_button.click()
    assert form.isVisible()
    assert "Template" in form.message.text()
    form.fields["template"].set_value(str(tmp_path / "in.png"))
    problem = form.check()
    assert problem is not None
    assert "door" in problem
    form.set_inputs([])
    assert form.check() == "INPUT: no input is given"


def test_numbers_stay_in_their_range(form: WorkflowDialog) -> None:
    form.fields["count"].set_value(99)
    assert form.values()["count"] == 9
    assert "limit" not in form.values()
    form.fields["limit"].set_value(3.5)
    assert form.values()["limit"] == 3.5


def test_a_region_is_drawn_in_the_viewer_and_comes_back(on_project: Opened, tmp_path: Path) -> None:
    window = on_project.window
    dialog = window.workflows.open(FLOW)
    assert dialog.input_paths()[0].name == "picture1.png"
    dialog.region_wanted.emit(FLOW.regions[0])
    assert not dialog.isVisible()
    assert "Where the door is" in window.viewer.region_hint.text()
    canvas = window.viewer.canvas
    assert isinstance(canvas.tool, RegionTool)
    canvas.region_drawn.emit(((10.0, 20.0), (60.0, 70.0)))
    assert dialog.isVisible()
    assert dialog.regions[0].role == "door"
    assert dialog.regions[0].points == ((10.0, 20.0), (60.0, 70.0))
    dialog.fields["template"].set_value(str(dialog.input_paths()[0]))
    assert dialog.check() is None


def test_drawing_a_region_can_be_given_up(on_project: Opened) -> None:
    window = on_project.window
    dialog = window.workflows.open(FLOW)
    dialog.region_wanted.emit(FLOW.regions[0])
    window.viewer.region_cancelled.emit()
    assert dialog.isVisible()
    assert dialog.regions == []
    assert not isinstance(window.viewer.canvas.tool, RegionTool)


def test_a_result_shows_table_documents_and_failures(qtbot: QtBot, tmp_path: Path) -> None:
    result = {
        "summary": "3 sheets read",
        "columns": ["sheet", "marks"],
        "rows": [["a.png", "7"], ["b.png", "9"]],
        "documents": [{"path": str(tmp_path / "marks.csv"), "title": "Marks", "kind": "csv"}],
        "failures": [{"path": "c.png", "message": "no corner found"}],
        "findings": [{}, {}],
    }
    dialog = WorkflowResultDialog("Grade", result)
    qtbot.addWidget(dialog)
    texts = [w.text() for w in dialog.findChildren(QWidget) if hasattr(w, "text")]
    assert "3 sheets read" in texts
    assert "c.png: no corner found" in texts
    assert "Open Marks" in texts
    assert "2 findings wait in the review queue." in texts


# Errors, help, settings, labels ---------------------------------------------------------------


def test_an_error_says_what_where_and_what_to_do(qtbot: QtBot) -> None:
    error = ErrorInfo("media-damaged", "the file is cut off", "copy it again", "/a/b.dcm", "Rows")
    dialog = ErrorDialog(error)
    qtbot.addWidget(dialog)
    texts = [w.text() for w in dialog.findChildren(QWidget) if hasattr(w, "text")]
    for text in ("The file is cut off.", "/a/b.dcm", "Rows", "Copy it again."):
        assert text in texts
    dialog.copy_button.click()
    copied = QGuiApplication.clipboard().text()
    assert "code: media-damaged" in copied
    assert "path: /a/b.dcm" in copied
    assert "Traceback" not in copied


def test_the_same_error_is_not_stacked(opened: Opened) -> None:
    error = ErrorInfo("x", "no disk space", "Free some.")
    opened.window.bridge.failed.emit(error)
    opened.window.bridge.failed.emit(error)
    shown = [d for d in opened.window.findChildren(ErrorDialog) if d.isVisible()]
    assert len(shown) == 1


def test_settings_are_generated_and_kept(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    dialog = SettingsDialog(Settings())
    opened.qtbot.addWidget(dialog)
    assert dialog.settings() == Settings()
    combo = dialog.findChild(QWidget, "theme")
    combo.setCurrentText("dark")  # type: ignore[union-attr]
    changed = dialog.settings()
    assert changed.theme == "dark"
    monkeypatch.setattr(SettingsDialog, "ask", lambda *_args: changed)
    opened.window.commands.edit_settings()
    assert load_settings().theme == "dark"


def test_labels_are_edited_in_a_table(qtbot: QtBot) -> None:
    scene = LabelSet("scene", (Label("street", ("a road",)), Label("cat")), exclusive=False)
    dialog = LabelsDialog(LABELS, (scene,))
    qtbot.addWidget(dialog)
    assert dialog.label_set() == LABELS
    dialog.table.item(0, 1).setText("a cat; a kitten")  # type: ignore[union-attr]
    dialog.offered.setCurrentIndex(1)
    dialog.offered.activated.emit(1)
    edited = dialog.label_set()
    assert [label.name for label in edited.labels] == ["cat", "dog", "bird", "street"]
    assert edited.labels[0].prompts == ("a cat", "a kitten")
    assert edited.labels[3].prompts == ("a road",)
    dialog.table.selectRow(1)
    dialog.remove_button.click()
    assert [label.name for label in dialog.label_set().labels] == ["cat", "bird", "street"]


def test_help_pages_open_and_links_work(qtbot: QtBot) -> None:
    dialog = HelpDialog()
    qtbot.addWidget(dialog)
    pages = help_pages()
    assert pages[0][0] == "index.md"
    assert dialog.pages.count() == len(pages) >= 5
    name, title = pages[-1]
    dialog.show_page(name.removesuffix(".md"))
    assert title in dialog.browser.toPlainText()


def test_every_page_of_a_workflow_exists() -> None:
    from vlmtool_core.hooks.manager import plugin_manager

    names = {name for name, _title in help_pages()}
    for workflow in plugin_manager().workflows():
        if workflow.help_page:
            page = workflow.help_page.removesuffix(".md") + ".md"
            assert page in names, workflow.key


def test_the_about_box_states_the_intended_use(qtbot: QtBot) -> None:
    dialog = AboutDialog()
    qtbot.addWidget(dialog)
    texts = " ".join(w.text() for w in dialog.findChildren(QWidget) if hasattr(w, "text"))
    assert "not a medical device" in texts
    assert "not for diagnostic use" in texts


def test_the_cheat_sheet_lists_the_keys_of_the_table(opened: Opened) -> None:
    dialog = CheatSheet(opened.window.actions_.keys())
    opened.qtbot.addWidget(dialog)
    texts = [w.text() for w in dialog.findChildren(QWidget) if hasattr(w, "text")]
    for text in ("Ctrl+B", "Run over many items", "Right drag", "Backspace"):
        assert text in texts


def test_new_project_proposes_a_folder_that_is_not_there(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = NewProjectDialog(None, [tmp_path])
    qtbot.addWidget(dialog)
    assert dialog.name.text() == tmp_path.name
    assert not Path(dialog.folder.text()).exists()
    dialog.folder.clear()
    assert not dialog.ok_button.isEnabled()


def test_groups_are_chosen_when_adding(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = AddDialog([tmp_path])
    qtbot.addWidget(dialog)
    assert dialog.choice().group_by is None
    QTest.keyClicks(dialog.pattern, r"s(\d+)")
    assert dialog.choice().group_by == r"s(\d+)"


# Training -------------------------------------------------------------------------------------


def evaluation(model: str, accuracy: float) -> dict[str, object]:
    interval = {"value": accuracy, "low": accuracy - 0.1, "high": min(1.0, accuracy + 0.1)}
    return {
        "model": model,
        "count": 20,
        "groups": 20,
        "accuracy": interval,
        "macro_f1": interval,
        "balanced_accuracy": accuracy,
        "ece": 0.05,
        "per_class": [{"label": "cat", "support": 10, "f1": accuracy}],
    }


def test_training_shows_old_against_new_and_the_verdict(qtbot: QtBot) -> None:
    dialog = TrainDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.set_running(True)
    assert dialog.cancel_button.isEnabled()
    points = [{"step": n, "train_loss": 1 / (n + 1), "validation": None} for n in range(5)]
    dialog.advance(Progress(1, 4), points)
    dialog.advance(Progress(2, 4), [{"step": 5, "train_loss": 0.1, "validation": 0.9}])
    assert dialog.plot.points == 6
    dialog.show_report(
        {
            "old": evaluation("v1", 0.8),
            "new": evaluation("v2", 0.9),
            "activated": True,
            "reason": "v2 is better",
            "train_count": 80,
            "seconds": 1.5,
            "warnings": [],
            "comparison": {"only_a": 1, "only_b": 3, "p_value": 0.25},
        }
    )
    rows = [
        tuple(dialog.table.item(line, column).text() for column in range(3))  # type: ignore[union-attr]
        for line in range(dialog.table.rowCount())
    ]
    assert ("Model", "v1", "v2") in rows
    assert ("Accuracy", "80.0 % (70.0 – 90.0)", "90.0 % (80.0 – 100.0)") in rows
    assert ("F1 of cat (n = 10)", "80.0 %", "90.0 %") in rows
    assert dialog.verdict.text() == "v2 is better"
    assert dialog.verdict.property("role") == "success"
    assert dialog.train_button.isEnabled()


def test_a_failed_training_says_why(qtbot: QtBot) -> None:
    dialog = TrainDialog()
    qtbot.addWidget(dialog)
    dialog.set_running(True)
    dialog.show_failure(ErrorInfo("not-enough-labels", "too few labels", "Label more."))
    assert dialog.state.text() == "Too few labels. Label more."
    assert dialog.train_button.isEnabled()


# Small things ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "< 1 s"), (45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_in_words() -> None:
    progress = Progress(1200, 4800, "img.png", failed=2, elapsed_s=60.0)
    assert progress_text(progress) == "1,200 / 4,800 · 20.0/s · 3 min 0 s left · 2 failed · img.png"
    assert progress_text(Progress(0)) == "waiting"


def test_dialogs_close_with_escape(qtbot: QtBot) -> None:
    for dialog in (AboutDialog(), HelpDialog(), RunDialog(CHOICES), SettingsDialog(Settings())):
        qtbot.addWidget(dialog)
        dialog.show()
        QTest.keyClick(dialog, Qt.Key.Key_Escape)
        assert not dialog.isVisible()
        assert dialog.result() == QDialog.DialogCode.Rejected
