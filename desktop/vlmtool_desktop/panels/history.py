"""What people did in this project, newest first, with undo and redo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.session import Session
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import as_panel, column, frame, push_button, row

if TYPE_CHECKING:
    from vlmtool_core.project import HistoryEntry


class HistoryPanel(QWidget):
    """The newest steps; those undone are greyed and struck out."""

    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        as_panel(self)
        self._session = session
        self._entries: tuple[HistoryEntry, ...] = ()
        self.list = QListWidget()
        self.list.setProperty("frameless", True)
        self.list.setAccessibleName(self.tr("History"))
        self.undo = push_button(self.tr("Undo"), "undo", tip=self.tr("Undo (Ctrl+Z)"))
        self.redo = push_button(self.tr("Redo"), "redo", tip=self.tr("Redo (Ctrl+Shift+Z)"))
        self.undo.clicked.connect(self.undo_requested)
        self.redo.clicked.connect(self.redo_requested)
        layout = column(self.list, spacing=0)
        layout.addWidget(frame("footer", row(self.undo, self.redo), (8, 8, 8, 8)))
        self.setLayout(layout)
        session.history_changed.connect(self._update_buttons)
        theme().changed.connect(self._recolour)
        discretion().changed.connect(self._recolour)
        self._update_buttons()

    def _update_buttons(self) -> None:
        project = self._session.project
        self.undo.setEnabled(bool(project and project.can_undo))
        self.redo.setEnabled(bool(project and project.can_redo))

    def _recolour(self) -> None:
        self.set_entries(self._entries)

    def set_entries(self, entries: Sequence[HistoryEntry]) -> None:
        self._entries = tuple(entries)
        self.list.clear()
        for entry in self._entries:
            description = discretion().step(entry.description)
            when = entry.at.astimezone().strftime("%H:%M")
            item = QListWidgetItem(f"{when}  {description[:1].upper()}{description[1:]}")
            item.setToolTip(f"{entry.author}, {entry.at.astimezone():%Y-%m-%d %H:%M:%S}")
            if entry.undone:
                font = item.font()
                font.setStrikeOut(True)
                item.setFont(font)
                item.setForeground(theme().colour("text-disabled"))
            self.list.addItem(item)
