"""The form of a workflow, made from its declaration, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.errors import VlmtoolError
from vlmtool_core.records import Region
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.dialogs.parameter_fields import ParameterField, make_field
from vlmtool_desktop.widgets.parts import column, frame, push_button, row, text_label

if TYPE_CHECKING:
    from vlmtool_core.hooks.workflow import RegionSpec, Workflow


class WorkflowDialog(QDialog):
    """Inputs, parameters and regions. Not modal: regions are drawn in the main window."""

    run_requested = Signal(object, object, object)
    region_wanted = Signal(object)
    help_requested = Signal(str)

    def __init__(
        self, workflow: Workflow, inputs: Sequence[Path], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.workflow = workflow
        self.regions: list[Region] = []
        self.setWindowTitle(workflow.title)
        self.setMinimumWidth(600)
        self.resize(640, 700)
        self.inputs = QListWidget()
        self.inputs.setAccessibleName(self.tr("Inputs"))
        self.inputs.setMaximumHeight(76)
        self.fields: dict[str, ParameterField] = {}
        self.region_labels: dict[str, Any] = {}
        self.message = text_label("", "danger", wrap=True)
        self.message.hide()
        self.set_inputs(inputs)
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.setSpacing(12)
        layout.addWidget(text_label(self.workflow.summary, wrap=True))
        if self.workflow.intended_use:
            use = row(text_label(self.workflow.intended_use, wrap=True))
            layout.addWidget(frame("notice", use, (10, 6, 10, 6)))
        layout.addLayout(self._make_inputs())
        form = QFormLayout()
        form.setVerticalSpacing(8)
        for parameter in self.workflow.parameters:
            field = make_field(parameter)
            self.fields[parameter.name] = field
            name = f"{parameter.label} *" if parameter.required else parameter.label
            form.addRow(name, field.widget)
        for spec in self.workflow.regions:
            form.addRow(spec.role.replace("-", " ").capitalize(), self._make_region(spec))
        layout.addWidget(_scrolled(form), 1)
        layout.addWidget(self.message)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.run_button = push_button(self.tr("Run"), "run", primary=True)
        self.run_button.setDefault(True)
        if self.workflow.help_page:
            help_button = push_button(self.tr("Help"), "help")
            help_button.clicked.connect(lambda: self.help_requested.emit(self.workflow.help_page))
            buttons.addButton(help_button, QDialogButtonBox.ButtonRole.HelpRole)
        buttons.addButton(self.run_button, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self._run)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _make_inputs(self) -> QVBoxLayout:
        files = push_button(self.tr("Files…"), "add")
        folder = push_button(self.tr("Folder…"), "open")
        clear = push_button(self.tr("Clear"), "reject")
        files.clicked.connect(self._add_files)
        folder.clicked.connect(self._add_folder)
        clear.clicked.connect(lambda: self.set_inputs(()))
        buttons = row(files, folder, clear)
        buttons.addStretch()
        body = column(text_label(self.workflow.inputs_name, "section"), self.inputs, spacing=6)
        body.addLayout(buttons)
        return body

    def _make_region(self, spec: RegionSpec) -> QWidget:
        button = push_button(self.tr("Draw…"), "box", tip=spec.help)
        button.clicked.connect(lambda: self.region_wanted.emit(spec))
        clear = push_button(self.tr("Clear"), flat=True)
        clear.clicked.connect(lambda: self._clear_regions(spec.role))
        self.region_labels[spec.role] = text_label("", "muted")
        holder = QWidget()
        line = row(button, clear, self.region_labels[spec.role])
        line.addStretch()
        layout = column(spacing=2)
        layout.addLayout(line)
        layout.addWidget(text_label(spec.help, "muted", wrap=True))
        holder.setLayout(layout)
        self._show_regions(spec.role)
        return holder

    # Inputs ----------------------------------------------------------------------------------

    def set_inputs(self, inputs: Sequence[Path]) -> None:
        self.inputs.clear()
        for path in inputs:
            self._add(path)

    def _add(self, path: Path) -> None:
        if not self.workflow.many_inputs:
            self.inputs.clear()
        self.inputs.addItem(str(path))

    def _add_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, self.tr("Input files"))
        for name in names:
            self._add(Path(name))

    def _add_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Input folder"))
        if name:
            self._add(Path(name))

    def input_paths(self) -> list[Path]:
        return [Path(self.inputs.item(line).text()) for line in range(self.inputs.count())]

    # Regions ---------------------------------------------------------------------------------

    def add_region(self, region: Region) -> None:
        """A region that was drawn in the viewer."""
        self.regions.append(region)
        self._show_regions(region.role)

    def _clear_regions(self, role: str) -> None:
        self.regions = [region for region in self.regions if region.role != role]
        self._show_regions(role)

    def _show_regions(self, role: str) -> None:
        count = sum(region.role == role for region in self.regions)
        self.region_labels[role].setText(self.tr("{n} drawn").format(n=count))

    # Running ---------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """What was typed, by parameter; empty fields are left out."""
        typed = {name: field.value() for name, field in self.fields.items()}
        return {name: value for name, value in typed.items() if value not in (None, "")}

    def check(self) -> str | None:
        """What is wrong with the form, as a sentence; None when it can run."""
        from vlmtool_core.hooks.values import check_inputs, check_regions, convert_values

        try:
            check_inputs(self.workflow, self.input_paths())
            convert_values(self.workflow, self.values())
            check_regions(self.workflow, self.regions)
        except VlmtoolError as error:
            names = {p.name: p.label for p in self.workflow.parameters}
            name = names.get(error.field or "", error.field or "")
            if error.field in self.fields:
                self.fields[error.field].widget.setFocus()
            return f"{name}: {error.message}" if name else sentence(error.message)
        return None

    def _run(self) -> None:
        problem = self.check()
        if problem:
            self.message.setText(problem)
            self.message.show()
            return
        self.run_requested.emit(self.input_paths(), self.values(), list(self.regions))
        self.accept()


class WorkflowResultDialog(QDialog):
    """Summary, table, failures, and the documents with a button that opens each."""

    def __init__(self, title: str, result: dict[str, Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.resize(760, 520)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.setSpacing(12)
        self.summary = text_label(str(result.get("summary", "")), "heading", wrap=True)
        layout.addWidget(self.summary)
        for failure in result.get("failures", ()):
            where = f"{failure['path']}: " if failure.get("path") else ""
            layout.addWidget(text_label(f"{where}{failure['message']}", "danger", wrap=True))
        if result.get("rows"):
            layout.addWidget(_table(result["columns"], result["rows"]), 1)
        for document in result.get("documents", ()):
            layout.addLayout(self._document(document))
        findings = result.get("findings", 0)
        count = findings if isinstance(findings, int) else len(findings)
        if count:
            text = self.tr("{n} findings wait in the review queue.").format(n=count)
            layout.addWidget(text_label(text, "muted"))
        if not result.get("rows"):
            layout.addStretch()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _document(self, document: dict[str, Any]) -> QHBoxLayout:
        path = Path(document["path"])
        button = push_button(self.tr("Open {title}").format(title=document["title"]), "document")
        button.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))))
        line = row(button, text_label(str(path), "muted"), spacing=10)
        line.addStretch()
        return line


def _scrolled(form: QFormLayout) -> QScrollArea:
    """The form in an area that scrolls, for small screens and long forms."""
    form.setContentsMargins(0, 0, 8, 0)
    content = QWidget()
    content.setObjectName("page")
    content.setLayout(form)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setWidget(content)
    return area


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> QTableWidget:
    table = QTableWidget(len(rows), len(columns))
    table.setHorizontalHeaderLabels([str(name) for name in columns])
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setAlternatingRowColors(True)
    table.setShowGrid(False)
    table.verticalHeader().hide()
    table.horizontalHeader().setStretchLastSection(True)
    for line, texts in enumerate(rows):
        for position, text in enumerate(texts):
            table.setItem(line, position, QTableWidgetItem(str(text)))
    table.resizeColumnsToContents()
    return table
