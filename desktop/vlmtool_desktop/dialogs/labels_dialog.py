"""The label set: names, texts for the models, definitions, colours and keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.records import Label, LabelSet
from vlmtool_desktop.widgets.parts import push_button, row, text_label

_NAME, _PROMPTS, _DEFINITION, _COLOUR, _KEY = range(5)


class LabelsDialog(QDialog):
    """A table with a row per label; texts for the models are divided by semicolons."""

    def __init__(
        self, label_set: LabelSet, offered: Sequence[LabelSet], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Labels"))
        self.resize(760, 440)
        self._label_set = label_set
        self.table = QTableWidget(0, 5)
        self.table.setAccessibleName(self.tr("Labels"))
        self.table.setHorizontalHeaderLabels(
            [
                self.tr("Name"),
                self.tr("Texts for the models (a; b)"),
                self.tr("Definition"),
                self.tr("Colour"),
                self.tr("Key"),
            ]
        )
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(_PROMPTS, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_DEFINITION, QHeaderView.ResizeMode.Stretch)
        for label in label_set.labels:
            self._add(label)
        self.exclusive = QCheckBox(self.tr("Exactly one label holds for a picture"))
        self.exclusive.setChecked(label_set.exclusive)
        self.offered = QComboBox()
        self.offered.setAccessibleName(self.tr("Add the labels of a set"))
        self.offered.addItem(self.tr("Add the labels of a set…"), None)
        for one in offered:
            self.offered.addItem(f"{one.name} ({one.domain}, {len(one.labels)})", one)
        self.offered.activated.connect(self._add_set)
        self._build()

    def _build(self) -> None:
        add = push_button(self.tr("Add a label"), "add")
        self.remove_button = push_button(self.tr("Remove"), "delete")
        add.clicked.connect(lambda: self._add(Label("")))
        self.remove_button.clicked.connect(self._remove)
        line = row(add, self.remove_button, self.offered)
        line.addStretch()
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        note = text_label(
            self.tr("Annotations keep a label that is removed here; nothing is deleted."), "muted"
        )
        layout = QVBoxLayout(self)
        layout.addWidget(self.table)
        layout.addLayout(line)
        layout.addWidget(self.exclusive)
        layout.addWidget(note)
        layout.addWidget(buttons)

    def _add(self, label: Label) -> None:
        line = self.table.rowCount()
        self.table.insertRow(line)
        texts = (
            label.name,
            "; ".join(label.prompts),
            label.definition,
            label.colour,
            label.shortcut,
        )
        for position, text in enumerate(texts):
            self.table.setItem(line, position, QTableWidgetItem(text))
        if not label.name:
            self.table.setCurrentCell(line, _NAME)
            if (item := self.table.item(line, _NAME)) is not None:
                self.table.editItem(item)

    def _add_set(self) -> None:
        chosen = self.offered.currentData(Qt.ItemDataRole.UserRole)
        if isinstance(chosen, LabelSet):
            known = {label.name for label in self.label_set().labels}
            for label in chosen.labels:
                if label.name not in known:
                    self._add(label)
            self.exclusive.setChecked(chosen.exclusive)
            self.offered.setCurrentIndex(0)

    def _remove(self) -> None:
        for line in sorted({i.row() for i in self.table.selectedIndexes()}, reverse=True):
            self.table.removeRow(line)

    def _text(self, line: int, position: int) -> str:
        item = self.table.item(line, position)
        return item.text().strip() if item is not None else ""

    def label_set(self) -> LabelSet:
        """The set as it stands in the table; rows without a name are left out."""
        labels: list[Label] = []
        for line in range(self.table.rowCount()):
            name = self._text(line, _NAME)
            if name and name not in {label.name for label in labels}:
                prompts = [p.strip() for p in self._text(line, _PROMPTS).split(";") if p.strip()]
                colour, key = self._text(line, _COLOUR), self._text(line, _KEY)[:1]
                labels.append(
                    Label(name, tuple(prompts), self._text(line, _DEFINITION), colour, key)
                )
        return replace(self._label_set, labels=tuple(labels), exclusive=self.exclusive.isChecked())

    @classmethod
    def ask(
        cls, parent: QWidget | None, label_set: LabelSet, offered: Sequence[LabelSet]
    ) -> LabelSet | None:
        dialog = cls(label_set, offered, parent)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return None
        return dialog.label_set()
