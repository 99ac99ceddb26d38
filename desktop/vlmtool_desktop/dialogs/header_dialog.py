"""The header of a DICOM file: a table with a search, values of the patient hidden on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from vlmtool_desktop.widgets.parts import text_label

if TYPE_CHECKING:
    from vlmtool_core.media.dicom.elements import Element

_Index = QModelIndex | QPersistentModelIndex
_VALUE = 3


class ElementModel(QAbstractTableModel):
    """Elements as rows; a value that identifies the patient is shown only where allowed."""

    def __init__(self, elements: Sequence[Element], *, identifying: bool) -> None:
        super().__init__()
        self._all = list(elements)
        self._shown = self._all
        self.identifying = identifying
        self._columns = (self.tr("Tag"), self.tr("VR"), self.tr("Name"), self.tr("Value"))

    def search(self, text: str) -> None:
        """Keep the elements that have the text in their tag, name or visible value."""
        from vlmtool_core.media.dicom.elements import matching

        self.beginResetModel()
        self._shown = matching(self._all, text, identifying=self.identifying)
        self.endResetModel()

    def rowCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def columnCount(self, parent: _Index | None = None) -> int:
        return len(self._columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section]
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        return self.text(index.row(), index.column())

    def text(self, row: int, column: int) -> str:
        """What a cell says."""
        element = self._shown[row]
        if column == _VALUE and element.identifying and element.value and not self.identifying:
            return self.tr("(hidden)")
        cells = (
            f"{'    ' * element.depth}{element.tag}",
            element.vr,
            element.keyword or element.name,
            element.value,
        )
        return cells[column]


class HeaderDialog(QDialog):
    """All elements; Ctrl+C copies the chosen rows as they are shown."""

    def __init__(
        self,
        name: str,
        elements: Sequence[Element],
        parent: QWidget | None = None,
        *,
        identifying: bool = True,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Header of {name}").format(name=name))
        self.resize(860, 620)
        self.model = ElementModel(elements, identifying=identifying)
        self.field = QLineEdit()
        self.field.setPlaceholderText(self.tr("Search: window, 0028, spacing…"))
        self.field.setAccessibleName(self.tr("Search"))
        self.field.setClearButtonEnabled(True)
        self.field.textChanged.connect(self._search)
        self.table = self._make_table()
        self.count = text_label("", "muted")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for part in (self.field, self.table, self.count, buttons):
            layout.addWidget(part)
        self._search("")
        self.field.setFocus()

    def _make_table(self) -> QTableView:
        table = QTableView()
        table.setModel(self.model)
        table.setAccessibleName(self.tr("Elements of the header"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setAlternatingRowColors(True)
        table.verticalHeader().hide()
        for column, width in enumerate((170, 44, 260)):
            table.setColumnWidth(column, width)
        table.horizontalHeader().setSectionResizeMode(_VALUE, QHeaderView.ResizeMode.Stretch)
        return table

    def _search(self, text: str) -> None:
        self.model.search(text)
        found = self.tr("{count} elements").format(count=self.model.rowCount())
        hidden = self.tr("values that identify the patient are hidden")
        self.count.setText(found if self.model.identifying else f"{found}; {hidden}")

    def keyPressEvent(self, event: object) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):  # type: ignore[attr-defined]
            self.copy()
            return
        super().keyPressEvent(event)  # type: ignore[arg-type]

    def copy(self) -> None:
        """The chosen rows to the clipboard, tab-separated."""
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        lines = ["\t".join(self.model.text(r, c).strip() for c in range(4)) for r in rows]
        QGuiApplication.clipboard().setText("\n".join(lines))
