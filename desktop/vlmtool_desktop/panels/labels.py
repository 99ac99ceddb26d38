"""The labels of the project with their keys, and what was decided of the current frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import (
    QCheckBox,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QWidget,
)

from vlmtool_core.records import Label
from vlmtool_desktop.session import Session
from vlmtool_desktop.theme import label_colour, text_on, theme
from vlmtool_desktop.widgets.parts import as_panel, column, panel_key, row, text_label, tool_button

if TYPE_CHECKING:
    from vlmtool_core.project import AnnotationRecord

KEYS = "123456789"
_ID = Qt.ItemDataRole.UserRole


@lru_cache(maxsize=256)
def key_chip(text: str, colour: str) -> QIcon:
    """A coloured square with the label's key on it."""
    ratio = 2.0
    pixmap = QPixmap(QSize(int(20 * ratio), int(20 * ratio)))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawRoundedRect(0, 0, 20, 20, 4, 4)
    font = painter.font()
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(QColor(text_on(colour)))
    painter.drawText(0, 0, 20, 20, Qt.AlignmentFlag.AlignCenter, text)
    painter.end()
    return QIcon(pixmap)


class LabelsPanel(QWidget):
    """Number keys and clicks label; the list below shows the annotations of the frame."""

    label_chosen = Signal(str)
    label_added = Signal(str)
    edit_labels_requested = Signal()
    annotation_selected = Signal(int)
    annotations_deleted = Signal(object)
    annotation_edit_requested = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        as_panel(self)
        self._session = session
        self._annotations: tuple[AnnotationRecord, ...] = ()
        self.labels = QListWidget()
        self.annotations = QListWidget()
        self.new_label = QLineEdit()
        self.auto_advance = QCheckBox(self.tr("Go on to the next item"))
        self.auto_advance.setChecked(True)
        self._build()
        self.labels.itemClicked.connect(self._label_clicked)
        self.annotations.currentItemChanged.connect(self._annotation_chosen)
        self.annotations.itemDoubleClicked.connect(
            lambda item: self.annotation_edit_requested.emit(item.data(_ID))
        )
        session.labels_changed.connect(self.refresh)
        theme().changed.connect(self.refresh)

    def _build(self) -> None:
        for view, name in (
            (self.labels, self.tr("Labels")),
            (self.annotations, self.tr("Annotations of this frame")),
        ):
            view.setAccessibleName(name)
            view.setProperty("frameless", True)
            view.setIconSize(QSize(20, 20))
        self.labels.setToolTip(self.tr("Press the key, or click, to label the selected items"))
        self.annotations.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.new_label.setPlaceholderText(self.tr("New label, then Enter"))
        self.new_label.setAccessibleName(self.tr("New label"))
        self.new_label.returnPressed.connect(self._add)
        edit = tool_button(self.tr("Edit labels"), "settings")
        edit.clicked.connect(self.edit_labels_requested)
        title = row(text_label(self.tr("LABELS"), "section"))
        title.addStretch()
        title.addWidget(edit)
        title.setContentsMargins(10, 4, 6, 0)
        new = row(self.new_label, margins=(8, 2, 8, 4))
        switch = row(self.auto_advance, margins=(10, 0, 8, 4))
        decided = text_label(self.tr("DECIDED BY PEOPLE"), "section")
        decided.setContentsMargins(10, 8, 10, 4)
        layout = column(spacing=0)
        layout.addLayout(title)
        layout.addWidget(self.labels, 3)
        layout.addLayout(new)
        layout.addLayout(switch)
        layout.addWidget(decided)
        layout.addWidget(self.annotations, 1)
        self.setLayout(layout)
        panel_key(self.labels, Qt.Key.Key_Return, self._label_current)
        panel_key(self.annotations, Qt.Key.Key_Return, self._edit_current)

    # Labels ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw the labels of the session again."""
        chosen = {a.label for a in self._annotations if a.kind == "label"}
        active = self._session.active_label
        self.labels.clear()
        for position, label in enumerate(self._session.labels.labels):
            key = shortcut_of(label, position)
            item = QListWidgetItem(key_chip(key, label_colour(position, label.colour)), label.name)
            item.setToolTip(label.definition or label.name)
            if label.name in chosen:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
                item.setText(f"{label.name}  ✓")
            item.setData(_ID, label.name)
            self.labels.addItem(item)
            if label.name == active:
                self.labels.setCurrentItem(item)

    def label_for_key(self, key: str) -> str | None:
        """The label on a number key."""
        for position, label in enumerate(self._session.labels.labels):
            if shortcut_of(label, position) == key:
                return label.name
        return None

    def _label_clicked(self, item: QListWidgetItem) -> None:
        self.label_chosen.emit(item.data(_ID))

    def _label_current(self) -> None:
        if item := self.labels.currentItem():
            self.label_chosen.emit(item.data(_ID))

    def _add(self) -> None:
        name = self.new_label.text().strip()
        if name:
            self.new_label.clear()
            self.label_added.emit(name)

    # Annotations -----------------------------------------------------------------------------

    def set_annotations(self, annotations: Sequence[AnnotationRecord]) -> None:
        """Show what people decided of the frame in the viewer."""
        self._annotations = tuple(annotations)
        self.annotations.clear()
        names = [label.name for label in self._session.labels.labels]
        for record in self._annotations:
            position = names.index(record.label) if record.label in names else len(names)
            own = self._session.labels.labels[position].colour if position < len(names) else ""
            chip = key_chip("", label_colour(position, own))
            item = QListWidgetItem(chip, self._describe(record))
            item.setData(_ID, record.id)
            item.setToolTip(self.tr("by {author}").format(author=record.author))
            self.annotations.addItem(item)
        self.refresh()

    def _describe(self, record: AnnotationRecord) -> str:
        if record.kind == "box" and record.box is not None:
            box = record.box
            size = f"{box.x2 - box.x1:.0f} × {box.y2 - box.y1:.0f}"
            return self.tr("{label}: box {size}").format(label=record.label, size=size)
        if record.kind == "text":
            return record.text or ""
        return record.label

    def select_annotation(self, annotation_id: int | None) -> None:
        """Follow the box chosen on the canvas."""
        for number in range(self.annotations.count()):
            item = self.annotations.item(number)
            if item.data(_ID) == annotation_id and not item.isSelected():
                self.annotations.setCurrentItem(item)

    def _annotation_chosen(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.annotation_selected.emit(item.data(_ID))

    def _edit_current(self) -> None:
        if item := self.annotations.currentItem():
            self.annotation_edit_requested.emit(item.data(_ID))

    def delete_selected(self) -> None:
        """Delete the annotations selected in the list."""
        ids = [item.data(_ID) for item in self.annotations.selectedItems()]
        if ids:
            self.annotations_deleted.emit(ids)


def shortcut_of(label: Label, position: int) -> str:
    """The label's key: its own, else its place in the set; "" from the tenth on."""
    return label.shortcut or (KEYS[position] if position < len(KEYS) else "")
