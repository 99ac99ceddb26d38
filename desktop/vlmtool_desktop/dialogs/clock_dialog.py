"""Asks when a recording started and how far the clock of its camera was off."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from vlmtool_desktop.widgets.parts import text_label

_MOST_S = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class ClockValues:
    """start : as typed, "" for what the file says; offset_s : true time minus the recorder's."""

    item: int
    camera: str
    start: str
    offset_s: float


class ClockDialog(QDialog):
    """stated : what the file says, "" when it says nothing."""

    def __init__(self, values: ClockValues, stated: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Clock of the recorder"))
        self.setMinimumWidth(460)
        self._given = values
        self.start = QLineEdit(values.start)
        self.start.setPlaceholderText(stated or "2026-03-01 10:20:30+01:00")
        self.start.setAccessibleName(self.tr("Start of the recording"))
        self.offset = QDoubleSpinBox()
        self.offset.setRange(-_MOST_S, _MOST_S)
        self.offset.setDecimals(3)
        self.offset.setSuffix(" s")
        self.offset.setValue(values.offset_s)
        self.offset.setAccessibleName(self.tr("Offset of the clock"))
        self._build(stated)

    def _build(self, stated: str) -> None:
        said = (
            self.tr("The file says {time}. Leave the field empty to keep that.").format(time=stated)
            if stated
            else self.tr("The file does not say when it was recorded.")
        )
        form = QFormLayout()
        form.addRow(self.tr("Start of the recording"), self.start)
        form.addRow("", text_label(said, "muted", wrap=True))
        form.addRow(self.tr("Offset of the clock"), self.offset)
        hint = self.tr(
            "True time minus the time that the recorder shows, for all items of {camera}. "
            "Times of the file stay as they are."
        )
        form.addRow("", text_label(hint.format(camera=self._given.camera), "muted", wrap=True))
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(buttons)

    def values(self) -> ClockValues:
        return replace(self._given, start=self.start.text().strip(), offset_s=self.offset.value())
