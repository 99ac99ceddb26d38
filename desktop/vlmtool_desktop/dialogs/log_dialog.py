"""The end of the engine's log: starts, crashes with their reason, and requests that failed."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QVBoxLayout, QWidget

from vlmtool_core.host.log_file import engine_log, last_lines
from vlmtool_desktop.widgets.parts import push_button, text_label


class LogDialog(QDialog):
    """Shows the newest lines; they can be copied, and the file's folder opened."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Engine log"))
        self.resize(900, 520)
        self.place = text_label(str(engine_log()), "muted", wrap=True)
        self.place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.view.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.view.setAccessibleName(self.tr("Engine log"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        for button, use in (
            (push_button(self.tr("Copy"), "copy"), self.copy),
            (push_button(self.tr("Open the folder"), "open"), self.open_folder),
            (push_button(self.tr("Read again"), "redo"), self.reload),
        ):
            button.clicked.connect(use)
            buttons.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        layout = QVBoxLayout(self)
        layout.addWidget(self.place)
        layout.addWidget(self.view, 1)
        layout.addWidget(buttons)
        self.reload()

    def reload(self) -> None:
        """Read the file again and show its end."""
        lines = last_lines()
        nothing = self.tr("Nothing is logged yet, or the log cannot be written to this folder.")
        self.view.setPlainText("\n".join(lines) or nothing)
        bar = self.view.verticalScrollBar()
        bar.setValue(bar.maximum())

    def copy(self) -> None:
        QGuiApplication.clipboard().setText(self.view.toPlainText())

    def open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(engine_log().parent)))
