"""Three planes through a volume, linked: they meet in one point."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from vlmtool_desktop.canvas.plane_view import PlaneView
from vlmtool_desktop.widgets.parts import as_panel, push_button, row, text_label

# The names of `Plane`, which would bring numpy into the start of the program.
AXIAL, SAGITTAL, CORONAL = "axial", "sagittal", "coronal"
# Told apart with any colour vision (Okabe and Ito).
COLOURS = {AXIAL: "#e69f00", SAGITTAL: "#56b4e9", CORONAL: "#009e73"}


class PlanesPanel(QWidget):
    """Views of the planes, and beside them where the point lies and what is there."""

    closed = Signal()
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        names = {
            AXIAL: self.tr("Axial"),
            SAGITTAL: self.tr("Sagittal"),
            CORONAL: self.tr("Coronal"),
        }
        self.views = {plane: PlaneView(names[plane], COLOURS[plane]) for plane in COLOURS}
        self.note = text_label("", wrap=True)
        self.place = text_label("", "heading", wrap=True)
        self.facts = text_label("", "muted", wrap=True)
        self.progress = QProgressBar()
        self.progress.setAccessibleName(self.tr("Reading the volume"))
        self.cancel = push_button(self.tr("Stop reading"), "cancel")
        self.cancel.clicked.connect(self.cancelled)
        self.back = push_button(self.tr("Back to the picture"), "previous")
        self.back.clicked.connect(self.closed)
        self._build()

    def _build(self) -> None:
        side = QWidget()
        as_panel(side)
        lines = QVBoxLayout(side)
        lines.setContentsMargins(14, 12, 14, 12)
        lines.setSpacing(8)
        for widget in (self.place, self.facts, self.note, self.progress):
            lines.addWidget(widget)
        lines.addLayout(_left(self.cancel))
        lines.addStretch()
        lines.addLayout(_left(self.back))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        grid.addWidget(self.views[AXIAL], 0, 0)
        grid.addWidget(self.views[SAGITTAL], 0, 1)
        grid.addWidget(self.views[CORONAL], 1, 0)
        grid.addWidget(side, 1, 1)
        for place in (0, 1):
            grid.setRowStretch(place, 1)
            grid.setColumnStretch(place, 1)

    def show_reading(self, done: int, total: int) -> None:
        """How much of the volume has been read."""
        self.note.setText(self.tr("Reading the volume…"))
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.show()
        self.cancel.show()

    def show_note(self, text: str) -> None:
        """Why there are no planes; "" when there are."""
        self.note.setText(text)
        self.note.setVisible(bool(text))
        self.progress.hide()
        self.cancel.hide()

    def clear(self) -> None:
        for view in self.views.values():
            view.clear()
        self.place.clear()
        self.facts.clear()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)


def _left(widget: QWidget) -> QHBoxLayout:
    line = row(widget)
    line.addStretch()
    return line
