"""A new project, and how to add files to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QStandardPaths
from PySide6.QtWidgets import (
    QButtonGroup,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from vlmtool_desktop.widgets.parts import column, push_button, row, text_label


def default_folder(name: str = "") -> Path:
    """A folder for a new project that is not there yet, in the user's documents."""
    kind = QStandardPaths.StandardLocation.DocumentsLocation
    home = Path(QStandardPaths.writableLocation(kind) or Path.home())
    base = home / "vlmtool" / (name or "project")
    candidate, number = base, 2
    while candidate.exists():
        candidate = base.with_name(f"{base.name}-{number}")
        number += 1
    return candidate


class NewProjectDialog(QDialog):
    """Name and folder; `files` are what will be added at once."""

    def __init__(self, parent: QWidget | None = None, files: Sequence[Path] = ()) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("New project"))
        self.setMinimumWidth(520)
        name = files[0].name if len(files) == 1 and files[0].is_dir() else ""
        folder = default_folder(name)
        self.name = QLineEdit(folder.name)
        self.folder = QLineEdit(str(folder))
        self.folder.setAccessibleName(self.tr("Folder"))
        choose = push_button(self.tr("Choose…"), "open")
        choose.clicked.connect(self._choose)
        place = row(self.folder, choose)
        place.setStretch(0, 1)
        form = QFormLayout()
        form.addRow(self.tr("Name"), self.name)
        form.addRow(self.tr("Folder"), place)
        text = self.tr(
            "The folder will hold the database of the project: labels, predictions and trained "
            "models. Your pictures stay where they are."
        )
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        layout.addLayout(form)
        layout.addWidget(text_label(text, "muted", wrap=True))
        if files:
            note = self.tr("What you dropped is added to it: {names}")
            names = ", ".join(path.name for path in files[:4]) + ("…" if len(files) > 4 else "")
            layout.addWidget(text_label(note.format(names=names), wrap=True))
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.ok_button = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.ok_button.setText(self.tr("Create"))
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self.folder.textChanged.connect(self._check)

    def _check(self) -> None:
        self.ok_button.setEnabled(bool(self.folder.text().strip()))

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, self.tr("Folder for the project"), str(Path(self.folder.text()).parent)
        )
        if chosen:
            self.folder.setText(chosen)

    @classmethod
    def ask(cls, parent: QWidget | None, files: Sequence[Path] = ()) -> tuple[Path, str] | None:
        """(folder, name), or None when the user cancelled."""
        dialog = cls(parent, files)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return None
        return Path(dialog.folder.text().strip()).expanduser(), dialog.name.text().strip()


@dataclass(frozen=True)
class AddChoice:
    """`group_by`: "folder", "patient", a regular expression, or None."""

    group_by: str | None


class AddDialog(QDialog):
    """How the files that are being added belong together."""

    def __init__(self, paths: Sequence[Path], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Add to the project"))
        self.setMinimumWidth(460)
        self._group = QButtonGroup(self)
        self.pattern = QLineEdit()
        self.pattern.setPlaceholderText(r"student_(\d+)")
        self.pattern.setAccessibleName(self.tr("Pattern with one group"))
        choices = (
            (self.tr("No groups"), "none"),
            (self.tr("By folder"), "folder"),
            (self.tr("By patient (DICOM)"), "patient"),
            (self.tr("By a pattern in the name:"), "pattern"),
        )
        body = column(spacing=6)
        names = ", ".join(path.name for path in paths[:4]) + ("…" if len(paths) > 4 else "")
        body.addWidget(text_label(names, "heading", wrap=True))
        body.addWidget(
            text_label(
                self.tr(
                    "Items of one group (a patient, a student, a camera) are kept together when "
                    "a model is tested, so that the test is fair."
                ),
                "muted",
                wrap=True,
            )
        )
        for text, value in choices:
            button = QRadioButton(text)
            button.setProperty("value", value)
            button.setChecked(value == "none")
            self._group.addButton(button)
            body.addWidget(button)
        body.addWidget(self.pattern)
        self.pattern.textEdited.connect(lambda _text: self._group.buttons()[3].setChecked(True))
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.button(QDialogButtonBox.StandardButton.Ok).setText(self.tr("Add"))
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        layout.addLayout(body)
        layout.addWidget(buttons)

    def choice(self) -> AddChoice:
        checked = self._group.checkedButton()
        value = checked.property("value") if checked is not None else "none"
        if value == "pattern":
            return AddChoice(self.pattern.text().strip() or None)
        return AddChoice(None if value == "none" else str(value))

    @classmethod
    def ask(cls, parent: QWidget | None, paths: Sequence[Path]) -> AddChoice | None:
        dialog = cls(paths, parent)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return None
        return dialog.choice()
