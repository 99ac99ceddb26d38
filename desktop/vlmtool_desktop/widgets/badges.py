"""Warnings in a word or two, beside the name of what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from vlmtool_desktop.widgets.parts import text_label

if TYPE_CHECKING:
    from vlmtool_core.media import Badge


class BadgeRow(QWidget):
    """Red for what is grave, amber for the rest; the whole sentence is in the tool tip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(6)
        self.labels: list[QLabel] = []
        self.hide()

    def set_badges(self, badges: Sequence[Badge]) -> None:
        """Show these in place of the ones before; grave ones first."""
        for label in self.labels:
            self._layout.removeWidget(label)
            label.deleteLater()
        ordered = sorted(badges, key=lambda badge: not badge.grave)
        self.labels = [_label(badge) for badge in ordered]
        for label in self.labels:
            self._layout.addWidget(label)
        self.setVisible(bool(self.labels))


def _label(badge: Badge) -> QLabel:
    label = text_label(badge.text, "badge-grave" if badge.grave else "badge")
    label.setToolTip(badge.note)
    label.setAccessibleDescription(badge.note)
    return label
