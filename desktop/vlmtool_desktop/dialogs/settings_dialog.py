"""The settings, generated from their declaration in the core."""

from __future__ import annotations

import dataclasses
from typing import Any

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.settings import Settings, settings_file
from vlmtool_desktop.widgets.parts import text_label


class SettingsDialog(QDialog):
    """One row per setting; the file keeps only what differs from the defaults."""

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Settings"))
        self.setMinimumWidth(520)
        self._fields: dict[str, QWidget] = {}
        form = QFormLayout()
        form.setVerticalSpacing(10)
        for field in dataclasses.fields(Settings):
            editor = _editor(field, getattr(settings, field.name))
            text = QCoreApplication.translate("settings", field.metadata["help"])
            editor.setAccessibleName(text)
            editor.setObjectName(field.name)
            editor.setMinimumWidth(150)
            self._fields[field.name] = editor
            form.addRow(text, editor)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        layout.addLayout(form)
        where = self.tr("Kept in {file}").format(file=settings_file())
        layout.addWidget(text_label(where, "muted", wrap=True))
        layout.addWidget(buttons)

    def settings(self) -> Settings:
        """The settings as they stand in the dialog."""
        return Settings(**{name: _value(editor) for name, editor in self._fields.items()})

    @classmethod
    def ask(cls, parent: QWidget | None, settings: Settings) -> Settings | None:
        dialog = cls(settings, parent)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return None
        return dialog.settings()


def _editor(field: dataclasses.Field[Any], value: Any) -> QWidget:
    if isinstance(field.default, bool):
        box = QCheckBox()
        box.setChecked(value)
        return box
    if "choices" in field.metadata:
        combo = QComboBox()
        combo.addItems(list(field.metadata["choices"]))
        combo.setCurrentText(value)
        return combo
    number = QSpinBox()
    number.setRange(field.metadata["minimum"], field.metadata["maximum"])
    number.setGroupSeparatorShown(True)
    number.setValue(value)
    return number


def _value(editor: QWidget) -> Any:
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    if isinstance(editor, QComboBox):
        return editor.currentText()
    assert isinstance(editor, QSpinBox)
    return editor.value()
