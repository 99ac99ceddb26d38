"""Connects panels, controllers and session of a main window: who listens to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmtool_core.records import ErrorInfo, Finding
from vlmtool_desktop.dialogs.error_dialog import ErrorDialog, sentence
from vlmtool_desktop.dialogs.workflow_dialog import WorkflowResultDialog
from vlmtool_desktop.job_list import Job

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow


def connect_all(window: MainWindow) -> None:
    """The whole wiring of the main window."""
    _connect_project(window)
    _connect_library(window)
    _connect_start(window)
    _connect_viewer(window)
    _connect_labels(window)
    _connect_review(window)
    _connect_engine(window)
    window.show_page()


def _connect_project(window: MainWindow) -> None:
    session, project = window.session, window.project
    session.project_changed.connect(window.show_page)
    session.project_changed.connect(lambda: _project_changed(window))
    session.item_changed.connect(lambda: _clear_status(window))
    session.history_changed.connect(project.read_history)
    project.items_changed.connect(window.library.reload)
    project.item_contents_changed.connect(window.library.refresh)
    project.said.connect(window.status.say)
    project.history_read.connect(window.history.set_entries)
    window.history.undo_requested.connect(project.undo)
    window.history.redo_requested.connect(project.redo)


def _project_changed(window: MainWindow) -> None:
    """Nothing of the project before may be seen in the new one."""
    window.library.model.forget()
    window.review.forget()
    window.history.set_entries(())
    if window.session.project is not None:
        window.review.reload()
        window.library.grid.setFocus()


def _clear_status(window: MainWindow) -> None:
    """What belongs to the picture before."""
    for label in (window.status.pixel, window.status.window_level, window.status.zoom):
        label.setText("")


def _connect_library(window: MainWindow) -> None:
    session, library = window.session, window.library
    library.add_requested.connect(window.commands.add_files)
    window.viewing.ahead.neighbours = library.neighbours

    def show_place() -> None:
        window.status.show_place(*library.position())

    session.item_changed.connect(show_place)
    library.counted.connect(lambda _count: show_place())


def _connect_start(window: MainWindow) -> None:
    start, commands = window.start, window.commands
    start.new_requested.connect(lambda: commands.new_project())
    start.open_requested.connect(commands.open_project)
    start.project_chosen.connect(commands.open_root)
    start.pull_requested.connect(window.engine.pull_starter)
    start.models_requested.connect(lambda: window.model_packs.open())
    start.help_requested.connect(lambda: commands.show_help())


def _connect_viewer(window: MainWindow) -> None:
    canvas, commands, viewing = window.viewer.canvas, window.commands, window.viewing
    canvas.box_drawn.connect(commands.add_box)
    canvas.shape_changed.connect(commands.change_box)
    canvas.zoom_changed.connect(
        lambda scale: window.status.show_zoom(scale if canvas.has_picture else None)
    )
    canvas.selection_changed.connect(lambda: _canvas_selected(window))
    viewing.window_changed.connect(lambda level: _show_window(window, level))
    viewing.detail_changed.connect(lambda _detail: _show_detail(window))
    viewing.frame_shown.connect(lambda _loaded: _show_detail(window))


def _canvas_selected(window: MainWindow) -> None:
    shape = window.viewer.canvas.selected_shape()
    if shape is not None:
        window.labels.select_annotation(shape.id)


def _show_detail(window: MainWindow) -> None:
    window.labels.set_annotations(window.viewing.frame_annotations())
    window.predictions.set_predictions(window.viewing.frame_predictions())


def _show_window(window: MainWindow, level: Any) -> None:
    text = "" if level is None else f"C {_whole(level.center)}  W {_whole(level.width)}"
    window.status.window_level.setText(text)


def _whole(value: float) -> str:
    """Without decimals, but for the small numbers of maps and probabilities."""
    return f"{value:.3g}" if abs(value) < 10 and value != round(value) else f"{value:.0f}"


def _connect_labels(window: MainWindow) -> None:
    labels, commands, predictions = window.labels, window.commands, window.predictions
    labels.label_chosen.connect(commands.choose_label)
    labels.label_added.connect(window.project.add_label)
    labels.edit_labels_requested.connect(commands.edit_labels)
    labels.annotation_selected.connect(window.viewer.canvas.select)
    labels.annotations_deleted.connect(window.project.delete_annotations)
    labels.annotation_edit_requested.connect(commands.edit_annotation)
    predictions.decided.connect(window.project.decide)
    predictions.edit_requested.connect(commands.edit_prediction)
    predictions.predict_requested.connect(commands.predict)


def _connect_review(window: MainWindow) -> None:
    review = window.review
    window.project.stepped.connect(review.reload)
    review.decided.connect(window.project.decide_finding)
    review.finding_selected.connect(lambda finding: _show_finding(window, finding))
    window.session.content_changed.connect(lambda: _count_findings(window))
    window.session.project_changed.connect(lambda: _count_findings(window))


def _show_finding(window: MainWindow, finding: Finding) -> None:
    if finding.item_id is not None:
        window.session.set_item(finding.item_id, frame=finding.frame)
    window.viewing.show_finding(finding)


def _count_findings(window: MainWindow) -> None:
    """How many findings wait, on the tab."""
    from vlmtool_core.records import FindingStatus

    position = window.tabs.indexOf(window.review)

    def show(count: int) -> None:
        name = window.tr("Review")
        window.tabs.setTabText(position, f"{name} ({count:,})" if count else name)

    if window.session.project is None:
        show(0)
        return
    window.bridge.project(
        lambda project: project.count_findings(FindingStatus.PENDING), show, lane="finding-count"
    )


def _connect_engine(window: MainWindow) -> None:
    engine, bridge = window.engine, window.bridge
    bridge.failed.connect(lambda error: show_error(window, error))
    engine.said.connect(window.status.say)
    engine.installed_changed.connect(lambda: _show_installed(window))
    engine.versions_read.connect(lambda _versions: _show_installed(window))
    engine.results_changed.connect(lambda: _results_changed(window))
    window.jobs.details_requested.connect(lambda job: _show_job(window, job))


def _show_installed(window: MainWindow) -> None:
    window.start.set_installed(window.engine.installed)
    window.status.show_engine(window.engine.installed.device, window.engine.active_version)


def _results_changed(window: MainWindow) -> None:
    """Another process wrote predictions or findings."""
    window.library.refresh()
    window.project.refresh_state()
    window.session.content_has_changed()


def _show_job(window: MainWindow, job: Job) -> None:
    if job.error is not None:
        ErrorDialog(job.error, window).open()
    elif isinstance(job.result, dict):
        result = dict(job.result)
        result.setdefault("summary", sentence(job.title))
        WorkflowResultDialog(job.title, result, window).show()


def show_error(window: MainWindow, error: ErrorInfo) -> None:
    """Show an error without stopping the work; the same one is not stacked."""
    for dialog in window.findChildren(ErrorDialog):
        if dialog.isVisible() and dialog.error == error:
            return
    ErrorDialog(error, window).open()
