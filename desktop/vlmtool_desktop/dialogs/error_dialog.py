"""Shows an error as what happened, which file, and what to do. Never a bare traceback."""

from __future__ import annotations

import platform

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from vlmtool_core import __version__, paths
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop import icons
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import column, push_button, text_label


def sentence(text: str) -> str:
    """With a capital and a full stop, as errors are written without."""
    text = text.strip()
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else f"{text}."


def details_of(error: ErrorInfo) -> str:
    """Everything that helps somebody else to understand the error, as text."""
    lines = [
        f"vlmtool {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"code: {error.code}",
        f"message: {discretion().sentence(error.message)}",
        f"path: {discretion().value(error.path or '') or '-'}",
        f"field: {error.field or '-'}",
        f"remedy: {error.remedy or '-'}",
        f"log: {paths.log_dir()}",
    ]
    return "\n".join(lines)


class ErrorDialog(QDialog):
    """What happened, where, what to do, and a button that copies the details."""

    def __init__(self, error: ErrorInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.error = error
        self.setWindowTitle(self.tr("Something went wrong"))
        self.setMinimumWidth(460)
        picture = QLabel()
        picture.setPixmap(icons.draw("warning", 36, theme().colour("danger"), 2.0))
        self.message = text_label(
            sentence(discretion().sentence(error.message)), "heading", wrap=True
        )
        body = column(self.message, spacing=10)
        if path := discretion().value(error.path or ""):
            body.addLayout(self._fact(self.tr("File"), path))
        if error.field:
            body.addLayout(self._fact(self.tr("Field"), error.field))
        if error.remedy:
            body.addLayout(self._fact(self.tr("What to do"), sentence(error.remedy)))
        body.addStretch()
        head = QHBoxLayout()
        head.setSpacing(16)
        head.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        head.addLayout(body, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        self.copy_button = push_button(self.tr("Copy details"), "copy")
        self.copy_button.clicked.connect(self.copy_details)
        buttons.addButton(self.copy_button, QDialogButtonBox.ButtonRole.ActionRole)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 14)
        layout.setSpacing(16)
        layout.addLayout(head)
        layout.addWidget(buttons)

    def _fact(self, name: str, value: str) -> QVBoxLayout:
        text = text_label(value, wrap=True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return column(text_label(name, "section"), text, spacing=2)

    def copy_details(self) -> None:
        QGuiApplication.clipboard().setText(details_of(self.error))
