"""The models of this machine and those that suit it: get, check, remove, export and import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.jobs import Progress
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.dialogs.model_details import ModelDetails
from vlmtool_desktop.jobs_text import progress_text
from vlmtool_desktop.model_list import (
    DOMAINS,
    Filter,
    ModelLine,
    lines_from_json,
    size_text,
    tasks_of,
)
from vlmtool_desktop.widgets.parts import push_button, row, set_role, text_label

SUFFIX = ".vlmpack"
_ID = Qt.ItemDataRole.UserRole
_LICENCE = 4


class ModelsDialog(QDialog):
    """Stays open beside the work; what it asks for is done by the engine host.

    Signals carry pack ids or, for the hub, `org/name`; the flag says whether terms are accepted.
    """

    pull_requested = Signal(list, bool)
    remove_requested = Signal(list)
    verify_requested = Signal(list)
    export_requested = Signal(list, str)
    import_requested = Signal(str, bool)
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Models"))
        self.resize(1180, 660)
        self.setAcceptDrops(True)
        self._lines: tuple[ModelLine, ...] = ()
        self._running = False
        self._bundle = ""
        self._make_filters()
        self._make_table()
        self.details = ModelDetails()
        self._make_buttons()
        self._make_progress()
        self._lay_out()
        self._update()

    # Making it -------------------------------------------------------------------------------

    def _make_filters(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search, or org/name of a model on the hub"))
        self.search.setAccessibleName(self.tr("Search"))
        self.search.setClearButtonEnabled(True)
        self.domain, self.task = QComboBox(), QComboBox()
        self.domain.setAccessibleName(self.tr("Domain"))
        self.domain.addItem(self.tr("All domains"), "")
        for name in DOMAINS:
            self.domain.addItem(name.capitalize(), name)
        self.task.setAccessibleName(self.tr("Task"))
        self.task.addItem(self.tr("All tasks"), "")
        self.fitting = QCheckBox(self.tr("Only what this machine can hold"))
        self.fitting.setChecked(True)
        self.machine = text_label("", "muted")
        self.search.textChanged.connect(self._show)
        self.domain.currentIndexChanged.connect(self._show)
        self.task.currentIndexChanged.connect(self._show)
        self.fitting.toggled.connect(self._show)

    def _make_table(self) -> None:
        self.table = QTableWidget(0, 6)
        self.table.setAccessibleName(self.tr("Models"))
        self.table.setHorizontalHeaderLabels(
            [
                self.tr("Model"),
                self.tr("Tasks"),
                self.tr("Size"),
                self.tr("Memory"),
                self.tr("Licence"),
                self.tr("Here"),
            ]
        )
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setAlternatingRowColors(True)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        # Names of licences may be long; the whole name is in the card beside the table.
        header.setSectionResizeMode(_LICENCE, QHeaderView.ResizeMode.Interactive)
        header.resizeSection(_LICENCE, 105)
        self.table.itemSelectionChanged.connect(self._update)

    def _make_buttons(self) -> None:
        self.get_button = push_button(self.tr("Get"), "download", primary=True)
        self.verify_button = push_button(self.tr("Check files"), "accept")
        self.remove_button = push_button(self.tr("Remove"), "delete")
        self.export_button = push_button(self.tr("Export…"), "document")
        self.import_button = push_button(self.tr("Import…"), "open")
        self.close_button = push_button(self.tr("Close"))
        self.export_button.setToolTip(
            self.tr("Write the chosen packs into one file for a machine without a network")
        )
        self.import_button.setToolTip(
            self.tr("Take packs from such a file; you can also drop it here")
        )
        self.get_button.clicked.connect(self._get)
        self.verify_button.clicked.connect(lambda: self.verify_requested.emit(self.chosen_ids()))
        self.remove_button.clicked.connect(self._remove)
        self.export_button.clicked.connect(self._export)
        self.import_button.clicked.connect(self._import)
        self.close_button.clicked.connect(self.close)
        self.details.changed.connect(self._update)

    def _make_progress(self) -> None:
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.state = text_label("", "muted", wrap=True)
        self.cancel_button = push_button(self.tr("Cancel"), "cancel")
        self.cancel_button.clicked.connect(self.cancel_requested)

    def _lay_out(self) -> None:
        filters = row(self.search, self.domain, self.task, self.fitting, self.machine, spacing=10)
        filters.setStretch(0, 1)
        body = QHBoxLayout()
        body.setSpacing(14)
        body.addWidget(self.table, 2)
        body.addWidget(self.details, 1)
        buttons = row(self.get_button, self.verify_button, self.remove_button, spacing=8)
        buttons.addStretch()
        for button in (self.import_button, self.export_button, self.close_button):
            buttons.addWidget(button)
        progress = row(self.state, self.cancel_button, spacing=10)
        progress.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.setSpacing(12)
        layout.addLayout(filters)
        layout.addLayout(body, 1)
        layout.addWidget(self.bar)
        layout.addLayout(progress)
        layout.addLayout(buttons)

    # What it shows ---------------------------------------------------------------------------

    def set_catalogue(self, value: Mapping[str, Any]) -> None:
        """The host's answer to `catalogue`."""
        self._lines = lines_from_json(value["models"])
        kind = self.tr("accelerator") if value["device"] == "cuda" else self.tr("CPU")
        self.machine.setText(
            self.tr("{kind}, {gb} GB").format(kind=kind, gb=round(value["memory_gb"]))
        )
        chosen = self.task.currentData()
        self.task.blockSignals(True)
        self.task.clear()
        self.task.addItem(self.tr("All tasks"), "")
        for task in tasks_of(self._lines):
            self.task.addItem(task.capitalize(), task)
        self.task.setCurrentIndex(max(0, self.task.findData(chosen)))
        self.task.blockSignals(False)
        self._show()

    def filter(self) -> Filter:
        return Filter(
            "" if self._reference() else self.search.text(),
            self.domain.currentData(),
            self.task.currentData(),
            self.fitting.isChecked(),
        )

    def _show(self) -> None:
        chosen = [] if self._reference() else self.chosen_ids()
        wanted = self.filter()
        lines = [line for line in self._lines if wanted.keeps(line)]
        self.table.blockSignals(True)
        self.table.clearSelection()
        self.table.setRowCount(len(lines))
        for number, line in enumerate(lines):
            for place, text in enumerate(self._texts(line)):
                item = QTableWidgetItem(text)
                item.setData(_ID, line.id)
                item.setToolTip(line.note or text)
                self.table.setItem(number, place, item)
            if line.id in chosen:
                self.table.selectRow(number)
        self.table.blockSignals(False)
        self._update()

    def _texts(self, line: ModelLine) -> tuple[str, ...]:
        return (
            line.title,
            ", ".join(line.tasks) or self.tr("helps others"),
            size_text(line.size_bytes),
            size_text(line.memory_bytes),
            line.licence,
            self.tr("yes") if line.installed else "",
        )

    def chosen(self) -> list[ModelLine]:
        """The lines of the selected rows."""
        ids = set(self.chosen_ids())
        return [line for line in self._lines if line.id in ids]

    def chosen_ids(self) -> list[str]:
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        items = [self.table.item(number, 0) for number in rows]
        return [str(item.data(_ID)) for item in items if item is not None]

    def choose(self, model_id: str) -> None:
        """Select the row of a model."""
        for number in range(self.table.rowCount()):
            item = self.table.item(number, 0)
            if item is not None and item.data(_ID) == model_id:
                self.table.selectRow(number)

    def _reference(self) -> str:
        """What is typed, if it names a repository of the hub."""
        typed = self.search.text().strip()
        return typed if "/" in typed.strip("/") else ""

    def _update(self) -> None:
        lines, reference = self.chosen(), self._reference()
        if reference:
            self.details.show_reference(reference)
        elif self._bundle:
            self.details.show_bundle(Path(self._bundle).name)
        else:
            self.details.show_line(lines[0] if len(lines) == 1 else None, len(lines))
        missing = bool(reference) or any(not line.installed for line in lines)
        here = bool(lines) and all(line.installed for line in lines) and not reference
        asking = not reference and any(line.consent and not line.installed for line in lines)
        agreed = self.details.agreed() or not asking
        idle = not self._running
        self.get_button.setEnabled(idle and missing and agreed)
        for button in (self.verify_button, self.remove_button, self.export_button):
            button.setEnabled(idle and here)
        self.import_button.setEnabled(idle)
        self.cancel_button.setVisible(self._running)
        self.bar.setVisible(self._running)

    # What is going on ------------------------------------------------------------------------

    def begin(self, text: str) -> None:
        """A request has been handed over."""
        self._running = True
        self.bar.setRange(0, 0)
        self._say(text, "muted")
        self._update()

    def advance(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total or 0)
        self.bar.setValue(min(progress.done, progress.total or 0))
        self.state.setText(self.tr("{progress} (MB)").format(progress=progress_text(progress)))

    def end(self, text: str, role: str = "success") -> None:
        self._running = False
        self._bundle = ""
        self._say(text, role)
        self._update()

    def fail(self, error: ErrorInfo) -> None:
        """Say what went wrong and what to do; terms can be accepted right here."""
        self._running = False
        self._say(
            f"{sentence(error.message)} {sentence(error.remedy)}",
            "muted" if error.code == "cancelled" else "danger",
        )
        if error.code != "licence":
            self._bundle = ""
        self._update()

    def _say(self, text: str, role: str) -> None:
        self.state.setText(text)
        set_role(self.state, role)

    # What the user does ----------------------------------------------------------------------

    def _get(self) -> None:
        reference = self._reference()
        ids = [reference] if reference else [x.id for x in self.chosen() if not x.installed]
        self.pull_requested.emit(ids, self.details.agreed())

    def _remove(self) -> None:
        lines = self.chosen()
        names = ", ".join(line.title for line in lines)
        freed = size_text(sum(line.size_bytes for line in lines))
        question = self.tr("Remove {names}? {size} become free; they can be fetched again.")
        answer = QMessageBox.question(
            self, self.tr("Remove models"), question.format(names=names, size=freed)
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.remove_requested.emit(self.chosen_ids())

    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, self.tr("Export models"), f"models{SUFFIX}", f"*{SUFFIX}"
        )
        if name:
            target = name if name.endswith(SUFFIX) else name + SUFFIX
            self.export_requested.emit(self.chosen_ids(), target)

    def _import(self) -> None:
        if self._bundle and self.details.agreed():
            self.import_requested.emit(self._bundle, True)
            return
        name, _ = QFileDialog.getOpenFileName(self, self.tr("Import models"), "", f"*{SUFFIX}")
        if name:
            self.take_bundle(name)

    def take_bundle(self, path: str) -> None:
        """Import a bundle that was chosen or dropped."""
        self._bundle = path
        self.import_requested.emit(path, False)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if not self._running and _bundles(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        found = _bundles(event)
        if found:
            event.acceptProposedAction()
            self.take_bundle(found[0])


def _bundles(event: QDragEnterEvent | QDropEvent) -> Sequence[str]:
    urls = event.mimeData().urls() if event.mimeData().hasUrls() else []
    paths = [url.toLocalFile() for url in urls if url.isLocalFile()]
    return [path for path in paths if path.endswith(SUFFIX)]
