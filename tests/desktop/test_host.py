"""The window with the real engine host: adding, running, training, workflows, and its death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from tests.desktop import media_files
from tests.desktop.conftest import Opened

from vlmtool_core.batch import RunSpec
from vlmtool_core.project import Project
from vlmtool_core.records import FindingStatus, OutcomeStatus, Task
from vlmtool_desktop.dialogs.error_dialog import ErrorDialog
from vlmtool_desktop.dialogs.project_dialogs import NewProjectDialog
from vlmtool_desktop.dialogs.run_dialog import RunRequest
from vlmtool_desktop.job_list import Job, JobState
from vlmtool_desktop.models.item_model import ThumbnailRole

TRAIN_MS = 120_000


def drop(opened: Opened, paths: list[Path]) -> None:
    """Drop files on the window as a file manager does."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), copy, data, left, none)
    QApplication.sendEvent(opened.window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(opened.window, QDropEvent(QPointF(50, 50), copy, data, left, none))


def last_job(opened: Opened) -> Job:
    return list(opened.window.bridge.jobs)[-1]


def wait_for_job(opened: Opened, timeout_ms: int = 60_000) -> Job:
    job = last_job(opened)
    opened.qtbot.waitUntil(lambda: not job.running, timeout=timeout_ms)
    return job


def test_dropped_files_are_added_and_shown(on_project: Opened, tmp_path: Path) -> None:
    window = on_project.window
    more = tmp_path / "more pictures"
    media_files.write_pictures(more, 2, size=(80, 60))
    (more / "empty.png").write_bytes(b"")
    drop(on_project, [more])
    job = wait_for_job(on_project)
    assert job.state is JobState.DONE
    on_project.wait(lambda: window.library.model.rowCount() == 10)
    assert "Added" in window.status.currentMessage()
    assert "cannot be read" in window.status.currentMessage()
    names = on_project.stored(lambda p: [record.name for record in p.items()])
    assert isinstance(names, list)
    added = [row for row, name in enumerate(names) if name.startswith("more pictures/picture")]
    assert len(added) == 2
    model = window.library.model
    on_project.wait(
        lambda: all(model.index(row, 0).data(ThumbnailRole) is not None for row in added)
    )
    assert not on_project.errors


def test_files_dropped_without_a_project_make_one(
    opened: Opened, tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NewProjectDialog, "ask", lambda *_args: (tmp_path / "new", "New"))
    drop(opened, [media])
    opened.wait(lambda: opened.window.session.project is not None)
    opened.wait(lambda: len(opened.window.bridge.jobs) > 0)
    assert wait_for_job(opened).state is JobState.DONE
    opened.wait(lambda: opened.window.library.model.rowCount() == 7)


def test_the_start_page_knows_device_and_plugins(opened: Opened) -> None:
    opened.window.engine.look()
    opened.wait(lambda: opened.window.engine.installed.device)
    opened.wait(lambda: opened.window.engine.installed.plugins)
    start = opened.window.start
    assert "No model is installed yet" in start.packs.text()
    assert not start.pull_button.isHidden()
    assert "Medicine" in start.plugins.text()
    assert opened.window.engine.installed.device in opened.window.status.engine.text()


def test_a_killed_host_is_told_and_the_next_request_works(
    on_project: Opened, tmp_path: Path
) -> None:
    window = on_project.window
    window.engine.look()
    on_project.wait(lambda: window.engine.installed.device)
    pid = window.bridge.host_pid
    assert pid is not None
    folder = tmp_path / "many"
    media_files.write_pictures(folder, 60, size=(900, 700))
    window.project.add([folder])
    job = last_job(on_project)
    on_project.wait(lambda: job.request is not None)
    os.kill(pid, signal.SIGKILL)
    on_project.wait(lambda: not job.running)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "SIGKILL" in job.error.message
    on_project.wait(lambda: on_project.errors)
    dialog = window.findChild(ErrorDialog)
    assert dialog is not None
    assert dialog.isVisible()
    dialog.close()
    window.project.add([folder])
    assert wait_for_job(on_project).state is JobState.DONE
    assert window.bridge.host_pid != pid
    on_project.wait(lambda: window.library.total == 67)


def test_a_job_is_cancelled_from_the_jobs_panel(on_project: Opened, tmp_path: Path) -> None:
    window = on_project.window
    folder = tmp_path / "many"
    for picture in media_files.write_pictures(folder, 20, size=(900, 700)):
        for number in range(200):
            os.link(picture, folder / f"{picture.stem} {number}.png")
    window.project.add([folder])
    job = last_job(on_project)
    on_project.wait(lambda: job.progress.done > 0 or not job.running)
    card = window.jobs.card(job)
    assert card is not None
    card.cancel.click()
    on_project.wait(lambda: not job.running)
    assert job.state is JobState.CANCELLED
    assert "kept" in card.state.text()
    assert not on_project.errors


@pytest.mark.model
def test_run_review_train_and_run_again(
    starter_home: Path, on_project: Opened, tmp_path: Path
) -> None:
    """The whole loop: classify, accept, label, train, use the new version."""
    window = on_project.window
    folder = tmp_path / "train"
    media_files.write_pictures(folder / "a", 12, size=(96, 96))
    with Project.open(window.session.project.root) as project:
        project.add([folder])
    window.project.items_changed.emit()
    on_project.wait(lambda: window.library.model.rowCount() == 19)

    first = on_project.show_item(0)
    window.engine.run(RunRequest(RunSpec(Task.CLASSIFY), (first,)))
    assert wait_for_job(on_project, TRAIN_MS).state is JobState.DONE
    on_project.wait(lambda: window.predictions.tree.topLevelItemCount() == 1)
    top = window.predictions.tree.topLevelItem(0)
    assert top is not None
    assert "starter-vision" in top.text(0)
    assert top.childCount() >= 1
    window.predictions.accept()
    assert not on_project.errors
    on_project.wait(lambda: top_decision(on_project) == "accepted")
    assert on_project.stored(lambda p: p.item(first).labels) != ()

    second = on_project.show_item(1)
    window.engine.predict(second, 0, RunSpec(Task.CLASSIFY).to_json())
    assert wait_for_job(on_project, TRAIN_MS).state is JobState.DONE
    on_project.wait(lambda: top_decision(on_project) == "open")

    def label(project: Project) -> int:
        records = [r for r in project.items() if r.error is None]
        for number, record in enumerate(records):
            project.set_label([record.id], "cat" if number % 2 else "dog")
        return len(records)

    window.project.write(label)
    window.commands.train()
    dialog = window.training.dialog
    assert dialog is not None
    dialog.train_button.click()
    assert dialog.bar.isVisible()
    on_project.qtbot.waitUntil(lambda: dialog.verdict.text() != "", timeout=TRAIN_MS)
    assert dialog.plot.points > 0
    assert dialog.table.rowCount() >= 5
    on_project.wait(lambda: dialog.versions.rowCount() == 1)
    assert not on_project.errors
    dialog.versions.selectRow(0)
    dialog.use_button.click()
    on_project.wait(lambda: window.engine.active_version == "v1")
    assert "v1" in window.status.engine.text()

    window.engine.run(RunRequest(RunSpec(Task.CLASSIFY, model="active"), None))
    assert wait_for_job(on_project, TRAIN_MS).state is JobState.DONE
    outcomes = on_project.stored(
        lambda p: [o.outcome for r in p.items() for o in p.predictions(r.id, task=Task.CLASSIFY)]
    )
    assert isinstance(outcomes, list)
    assert any(
        o.status is OutcomeStatus.OK and o.scores[0].label in {"cat", "dog"} for o in outcomes
    )
    assert not on_project.errors


def top_decision(opened: Opened) -> str:
    item = opened.window.predictions.tree.topLevelItem(0)
    return item.text(1) if item is not None else ""


def test_training_without_labels_says_what_is_missing(
    starter_home: Path, on_project: Opened
) -> None:
    window = on_project.window
    window.commands.train()
    dialog = window.training.dialog
    assert dialog is not None
    on_project.wait(lambda: "No item is labelled yet" in dialog.overview.text())
    dialog.train_button.click()
    on_project.qtbot.waitUntil(lambda: dialog.train_button.isEnabled(), timeout=TRAIN_MS)
    assert "abel" in dialog.state.text()
    assert dialog.state.property("role") == "danger"


def test_a_run_without_models_names_the_command(on_project: Opened) -> None:
    window = on_project.window
    window.engine.run(RunRequest(RunSpec(Task.CLASSIFY), None))
    job = wait_for_job(on_project, TRAIN_MS)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "models pull starter" in job.error.remedy


def test_a_workflow_fills_the_review_queue(on_project: Opened, tmp_path: Path) -> None:
    window = on_project.window
    window.engine.look()
    on_project.wait(lambda: window.engine.workflows)
    workflow = next(w for w in window.engine.workflows if w.key == "medical.deidentify")
    series = media_files.write_series(tmp_path / "ct", slices=3)
    with Project.open(window.session.project.root) as project:
        project.add([series])
    dialog = window.workflows.open(workflow)
    dialog.set_inputs([series])
    output = next(p for p in workflow.parameters if p.kind.value == "output-folder")
    dialog.fields[output.name].set_value(str(tmp_path / "out"))
    assert dialog.check() is None
    dialog.run_button.click()
    job = wait_for_job(on_project, TRAIN_MS)
    assert job.state is JobState.DONE, job.error
    assert list((tmp_path / "out").rglob("*.dcm"))
    count = on_project.stored(lambda p: p.count_findings(FindingStatus.PENDING))
    assert count == len(job.result["findings"])
    assert not on_project.errors
