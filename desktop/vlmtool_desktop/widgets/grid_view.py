"""A grid of equal cells over any list model: layout by arithmetic, so that its cost does not
depend on the number of rows."""

from __future__ import annotations

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPaintEvent, QRegion, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyleOptionViewItem, QWidget

Index = QModelIndex | QPersistentModelIndex
_Move = QAbstractItemView.CursorAction


class GridView(QAbstractItemView):
    """Cells of `cell` size in as many columns as fit, scrolled vertically."""

    visible_changed = Signal()

    def __init__(self, cell: QSize, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cell = cell
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.viewport().setMouseTracking(True)

    # Arithmetic ------------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        return max(1, self.viewport().width() // self._cell.width())

    def _rows(self) -> int:
        """How many items there are."""
        return self.model().rowCount() if self.model() is not None else 0

    def _lines(self) -> int:
        return -(-self._rows() // self.columns)

    def _left(self) -> int:
        return max(0, (self.viewport().width() - self.columns * self._cell.width()) // 2)

    def _cell_rect(self, row: int) -> QRect:
        line, column = divmod(row, self.columns)
        corner = QPoint(
            self._left() + column * self._cell.width(),
            line * self._cell.height() - self.verticalOffset(),
        )
        return QRect(corner, self._cell)

    def visible_rows(self) -> range:
        """The rows that the viewport shows, in part or whole."""
        first = self.verticalOffset() // self._cell.height()
        last = (self.verticalOffset() + self.viewport().height()) // self._cell.height()
        return range(first * self.columns, min(self._rows(), (last + 1) * self.columns))

    # What QAbstractItemView asks for ---------------------------------------------------------

    def visualRect(self, index: Index) -> QRect:
        return self._cell_rect(index.row()) if index.isValid() else QRect()

    def indexAt(self, point: QPoint) -> QModelIndex:
        column = (point.x() - self._left()) // self._cell.width()
        line = (point.y() + self.verticalOffset()) // self._cell.height()
        row = line * self.columns + column
        if not (0 <= column < self.columns and line >= 0 and row < self._rows()):
            return QModelIndex()
        return self.model().index(row, 0)

    def horizontalOffset(self) -> int:
        return 0

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:
        return False

    def scrollTo(
        self,
        index: Index,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        rect = self.visualRect(index)
        if not rect.isValid():
            return
        bar = self.verticalScrollBar()
        if hint == QAbstractItemView.ScrollHint.PositionAtCenter:
            bar.setValue(bar.value() + rect.center().y() - self.viewport().height() // 2)
        elif rect.top() < 0:
            bar.setValue(bar.value() + rect.top())
        elif rect.bottom() > self.viewport().height():
            bar.setValue(bar.value() + rect.bottom() - self.viewport().height())

    def moveCursor(self, action: _Move, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        rows = self._rows()
        if not rows:
            return QModelIndex()
        page = max(1, self.viewport().height() // self._cell.height()) * self.columns
        steps = {
            _Move.MoveLeft: -1,
            _Move.MovePrevious: -1,
            _Move.MoveRight: 1,
            _Move.MoveNext: 1,
            _Move.MoveUp: -self.columns,
            _Move.MoveDown: self.columns,
            _Move.MovePageUp: -page,
            _Move.MovePageDown: page,
            _Move.MoveHome: -rows,
            _Move.MoveEnd: rows,
        }
        current = self.currentIndex().row() if self.currentIndex().isValid() else 0
        row = min(rows - 1, max(0, current + steps[action]))
        return self.model().index(row, 0)

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """All items between those at the first and the last corner of `rect`, as in a text."""
        selection = QItemSelection()
        start, end = self.indexAt(rect.topLeft()), self.indexAt(rect.bottomRight())
        if start.isValid() and end.isValid():
            first, last = sorted((start.row(), end.row()))
            selection.select(self.model().index(first, 0), self.model().index(last, 0))
        self.selectionModel().select(selection, command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    # Drawing ---------------------------------------------------------------------------------

    def updateGeometries(self) -> None:
        bar = self.verticalScrollBar()
        bar.setSingleStep(self._cell.height() // 3)
        bar.setPageStep(self.viewport().height())
        bar.setRange(0, max(0, self._lines() * self._cell.height() - self.viewport().height()))
        super().updateGeometries()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.updateGeometries()
        self.visible_changed.emit()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        super().scrollContentsBy(dx, dy)
        self.viewport().update()
        self.visible_changed.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        option = QStyleOptionViewItem()
        self.initViewItemOption(option)
        current = self.currentIndex()
        hovered = self.indexAt(self.viewport().mapFromGlobal(self.cursor().pos()))
        base = QStyle.StateFlag.State_Enabled
        for row in self.visible_rows():
            index = self.model().index(row, 0)
            option.rect = self._cell_rect(row)
            state = base
            if self.selectionModel().isSelected(index):
                state |= QStyle.StateFlag.State_Selected
            if index == current and self.hasFocus():
                state |= QStyle.StateFlag.State_HasFocus
            if index == hovered and self.viewport().underMouse():
                state |= QStyle.StateFlag.State_MouseOver
            option.state = state
            self.itemDelegate().paint(painter, option, index)
        painter.end()
