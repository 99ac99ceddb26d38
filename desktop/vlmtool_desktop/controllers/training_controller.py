"""Keeps the training dialog in step with the engine host and the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from vlmtool_desktop.dialogs.train_dialog import TrainDialog

if TYPE_CHECKING:
    from vlmtool_core.project import Project
    from vlmtool_desktop.main_window import MainWindow


def count_labels(project: Project) -> dict[str, int]:
    """Items per label, most first; runs in the project's thread."""
    counts: dict[str, set[int]] = {}
    for annotation in project.annotations():
        if annotation.kind == "label":
            counts.setdefault(annotation.label, set()).add(annotation.item_id)
    pairs = [(name, len(items)) for name, items in counts.items()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


class TrainingController(QObject):
    """Makes the dialog on first use and feeds it."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.dialog: TrainDialog | None = None

    def open(self) -> None:
        """Show the dialog with the labels and versions of the project."""
        if self.dialog is None:
            self.dialog = self._make()
        self.refresh()
        self.dialog.show()
        self.dialog.raise_()

    def _make(self) -> TrainDialog:
        engine = self._window.engine
        dialog = TrainDialog(self._window)
        dialog.train_requested.connect(lambda settings: self._train(settings))
        dialog.cancel_requested.connect(engine.cancel_training)
        dialog.use_requested.connect(engine.use_version)
        dialog.rollback_requested.connect(engine.rollback)
        engine.train_progressed.connect(dialog.advance)
        engine.train_done.connect(dialog.show_report)
        engine.train_failed.connect(dialog.show_failure)
        engine.versions_read.connect(dialog.set_versions)
        self._window.session.content_changed.connect(self.refresh)
        return dialog

    def _train(self, settings: dict[str, int]) -> None:
        if self.dialog is not None:
            self.dialog.set_running(True)
            self._window.engine.train(settings)

    def refresh(self) -> None:
        """Read label counts and versions again."""
        dialog = self.dialog
        if dialog is None or self._window.session.project is None:
            return
        self._window.bridge.project(count_labels, dialog.set_overview, lane="label-counts")
        dialog.set_versions(self._window.engine.versions)
