"""Asks for one line or one paragraph of text."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)


class TextDialog(QDialog):
    """One field; with `choices` an editable list, with `many_lines` a paragraph."""

    def __init__(
        self,
        parent: QWidget | None,
        title: str,
        name: str,
        value: str = "",
        *,
        choices: Sequence[str] = (),
        many_lines: bool = False,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(380)
        self.paragraph = QPlainTextEdit(value) if many_lines else None
        self.line = QComboBox()
        self.line.setEditable(True)
        self.line.addItems(list(choices))
        self.line.setEditText(value)
        field: QWidget = self.paragraph or self.line
        field.setAccessibleName(name)
        form = QFormLayout()
        form.addRow(name, field)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(buttons)

    def value(self) -> str:
        if self.paragraph is not None:
            return self.paragraph.toPlainText().strip()
        return self.line.currentText().strip()

    @classmethod
    def ask(
        cls,
        parent: QWidget | None,
        title: str,
        name: str,
        value: str = "",
        *,
        choices: Sequence[str] = (),
        many_lines: bool = False,
    ) -> str | None:
        """The text, or None when the user cancelled or left it empty."""
        dialog = cls(parent, title, name, value, choices=choices, many_lines=many_lines)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return None
        return dialog.value() or None
