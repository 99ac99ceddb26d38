"""The measurements of the item in view: what each comes to, on which frame, and on whose word."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStackedWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from vlmtool_core.measurement import Measured, MeasurementKind
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import (
    EmptyState,
    as_panel,
    column,
    frame,
    panel_key,
    push_button,
    row,
    text_label,
)

if TYPE_CHECKING:
    from vlmtool_core.media.measurements import Measurable

_ID = Qt.ItemDataRole.UserRole
_FRAME = Qt.ItemDataRole.UserRole + 1
_COLUMNS = (
    "length", "angle", "area", "unit", "count", "mean", "sd", "minimum", "maximum", "value_unit",
    "left_out", "suv_factor", "spacing_source", "projected",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A measurement as a row; `warning` says what has changed, or why it cannot be checked."""

    id: int
    frame: int
    kind: MeasurementKind
    result: Measured
    warning: str = ""
    author: str = ""


class MeasurementsPanel(QWidget):
    """A row for each; choosing one goes to its frame."""

    chosen = Signal(int, int)
    deleted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        as_panel(self)
        self._rows: tuple[MeasuredRow, ...] = ()
        self._item = ""
        self.spacing = text_label("", "muted", wrap=True)
        self.caution = text_label("", "warning", wrap=True)
        self.tree = QTreeWidget()
        self._stack = QStackedWidget()
        self._stack.addWidget(
            EmptyState(
                self.tr("Nothing measured yet"),
                self.tr(
                    "Choose a tool in the Measure menu, then draw on the picture; with the keys:"
                    " Enter puts one in the middle."
                ),
                "measure-distance",
            )
        )
        self._stack.addWidget(self.tree)
        self._build_tree()
        self._build()
        theme().changed.connect(self._fill)
        self._update_buttons()

    def _build_tree(self) -> None:
        tree = self.tree
        tree.setAccessibleName(self.tr("Measurements"))
        tree.setHeaderLabels([self.tr("Frame"), self.tr("Kind"), self.tr("Value")])
        tree.setProperty("frameless", True)
        tree.setRootIsDecorated(False)
        tree.setWordWrap(True)
        tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        header = tree.header()
        header.setStretchLastSection(True)
        for position in (0, 1):
            header.setSectionResizeMode(position, QHeaderView.ResizeMode.ResizeToContents)
        tree.itemSelectionChanged.connect(self._update_buttons)
        tree.currentItemChanged.connect(lambda item, _before: self._choose(item))
        tree.itemClicked.connect(lambda item, _column: self._choose(item))

    def _build(self) -> None:
        self.copy_button = push_button(self.tr("Copy"), "copy")
        menu = QMenu(self.copy_button)
        menu.addAction(self.tr("As text"), self.copy_text)
        menu.addAction(self.tr("As CSV, with every number"), self.copy_csv)
        self.copy_button.setMenu(menu)
        self.delete_button = push_button(
            self.tr("Delete"), "delete", tip=self.tr("Delete the chosen measurements (Delete)")
        )
        self.delete_button.clicked.connect(self.delete_selected)
        panel_key(self.tree, "Ctrl+C", self.copy_text)
        head = column(self.spacing, self.caution, spacing=3, margins=(10, 8, 10, 6))
        layout = column(spacing=0)
        layout.addLayout(head)
        layout.addWidget(self._stack, 1)
        buttons = row(self.copy_button, self.delete_button)
        layout.addWidget(frame("footer", buttons, (8, 8, 8, 8)))
        self.setLayout(layout)

    # What it shows ---------------------------------------------------------------------------

    def set_rows(self, rows: Sequence[MeasuredRow], item: str) -> None:
        """Show these, which are of the item of that name; the selection stays."""
        self._item = item
        if tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self._fill()

    def _fill(self) -> None:
        selected = set(self.selected())
        with QSignalBlocker(self.tree):
            self.tree.clear()
            for one in self._rows:
                entry = self._entry(one)
                self.tree.addTopLevelItem(entry)
                entry.setSelected(one.id in selected)
        self._stack.setCurrentIndex(1 if self._rows else 0)
        self._update_buttons()

    def _entry(self, one: MeasuredRow) -> QTreeWidgetItem:
        from vlmtool_core.media.measured_text import range_text, spacing_text

        entry = QTreeWidgetItem([str(one.frame + 1), kind_name(one.kind), value_text(one)])
        entry.setData(0, _ID, one.id)
        entry.setData(0, _FRAME, one.frame)
        told = (range_text(one.result), spacing_text(one.result), one.warning)
        by = self.tr("by {author}").format(author=one.author)
        for position in range(3):
            entry.setToolTip(position, "\n".join(line for line in (*told, by) if line))
            if one.warning:
                entry.setForeground(position, QColor(theme().colour("warning")))
        return entry

    def set_scale(self, on: Measurable | None) -> None:
        """Whose word the millimetres of the frame in view are, and what to be careful about."""
        self.spacing.setText("" if on is None else scale_text(on))
        notes = []
        if on is not None and on.spacing is not None and on.spacing.projected:
            notes.append(
                self.tr("Nobody has calibrated this projection: in the body, lengths differ.")
            )
        if on is not None and on.no_suv:
            notes.append(on.no_suv[:1].upper() + on.no_suv[1:])
        self.caution.setText("\n".join(notes))
        self.caution.setVisible(bool(notes))

    def select(self, annotation_id: int | None) -> None:
        """Follow the measurement chosen in the picture."""
        if annotation_id in self.selected():
            return
        with QSignalBlocker(self.tree):
            self.tree.clearSelection()
            for position in range(self.tree.topLevelItemCount()):
                entry = self.tree.topLevelItem(position)
                if entry is not None and entry.data(0, _ID) == annotation_id:
                    self.tree.setCurrentItem(entry)
        self._update_buttons()

    # What is done with them ------------------------------------------------------------------

    def selected(self) -> list[int]:
        return [int(entry.data(0, _ID)) for entry in self.tree.selectedItems()]

    def _choose(self, entry: QTreeWidgetItem | None) -> None:
        if entry is not None:
            self.chosen.emit(entry.data(0, _ID), entry.data(0, _FRAME))

    def _update_buttons(self) -> None:
        self.copy_button.setEnabled(bool(self._rows))
        self.delete_button.setEnabled(bool(self.selected()))

    def delete_selected(self) -> None:
        if ids := self.selected():
            self.deleted.emit(ids)

    def _copied(self) -> list[MeasuredRow]:
        """The selected ones, all where none is."""
        selected = self.selected()
        return [one for one in self._rows if one.id in selected or not selected]

    def copy_text(self) -> None:
        """As it stands here, a line for each, tabs between."""
        cells = [(str(r.frame + 1), kind_name(r.kind), value_text(r)) for r in self._copied()]
        lines = ["\t".join(row).replace("\n", ", ") for row in cells]
        QGuiApplication.clipboard().setText("\n".join(lines))

    def copy_csv(self) -> None:
        """Every number at full length; frames from 0, as in all exports."""
        from vlmtool_core.formats.csv_format import guard

        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["item", "frame", "kind", *_COLUMNS, "row_mm", "column_mm", "note"])
        for one in self._copied():
            cells = [getattr(one.result, name) for name in _COLUMNS]
            scale = one.result.spacing or ("", "")
            note = one.warning or one.result.note
            table.writerow(
                [guard(self._item), one.frame, one.kind.value]
                + ["" if cell is None else cell for cell in cells]
                + [*scale, guard(note)]
            )
        QGuiApplication.clipboard().setText(text.getvalue())


def kind_name(kind: MeasurementKind) -> str:
    return kind.value.capitalize()


def value_text(one: MeasuredRow) -> str:
    """Values of a region and its area, or the length or angle; what has changed below it."""
    from vlmtool_core.media.measured_text import size_text, values_text

    parts = [values_text(one.result)] if one.kind.is_region else []
    return "\n".join(part for part in (*parts, size_text(one.result), one.warning) if part)


def scale_text(on: Measurable) -> str:
    """In one sentence."""
    from vlmtool_core.media.measured_text import spacing_text

    source = on.spacing.source if on.spacing else ""
    text = spacing_text(Measured(spacing=on.scale, spacing_source=source))
    return text[:1].upper() + text[1:]
