"""The picture as a model was given it, and how it came to be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from vlmtool_desktop.canvas.picture import to_image
from vlmtool_desktop.widgets.parts import text_label

if TYPE_CHECKING:
    from vlmtool_core.engine.pictures.seen import Seen
    from vlmtool_core.project import PredictionRecord

LONGEST_SIDE = 640


class SeenDialog(QDialog):
    """Network inputs are small: enlarged by whole factors, so that each pixel can be seen."""

    def __init__(
        self, seen: Seen, prediction: PredictionRecord, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("What the model saw"))
        self.picture = QLabel()
        self.picture.setPixmap(_fitted(QPixmap.fromImage(to_image(seen.pixels))))
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setAccessibleName(self.tr("The picture as the model was given it"))
        height, width = seen.pixels.shape[:2]
        size = self.tr("{width} × {height} pixels, given to {model}")
        layout = QVBoxLayout(self)
        layout.addWidget(
            text_label(size.format(width=width, height=height, model=prediction.model), "heading")
        )
        layout.addWidget(self.picture, 1)
        self.notes = self._notes(seen)
        for note in self.notes:
            layout.addWidget(text_label(f"⚠ {note}", "warning", wrap=True))
        self.facts = QPlainTextEdit(json.dumps(dict(seen.facts), indent=2, ensure_ascii=False))
        self.facts.setReadOnly(True)
        self.facts.setAccessibleName(self.tr("How it came to be"))
        self.facts.setMaximumHeight(170)
        layout.addWidget(text_label(self.tr("HOW IT CAME TO BE"), "section"))
        layout.addWidget(self.facts)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _notes(self, seen: Seen) -> list[str]:
        further = self.tr("The model's own processor resized it further.")
        return [*([] if seen.exact else [further]), *seen.differs]


def _fitted(picture: QPixmap) -> QPixmap:
    longer = max(picture.width(), picture.height(), 1)
    if longer > LONGEST_SIDE:
        return picture.scaled(
            LONGEST_SIDE,
            LONGEST_SIDE,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
    factor = LONGEST_SIDE // longer
    return picture.scaled(picture.width() * factor, picture.height() * factor)
