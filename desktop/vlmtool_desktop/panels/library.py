"""The library: search and filters above a grid of the project's items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.records import ItemRef
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.models.item_model import ItemModel, item_ref
from vlmtool_desktop.panels.item_delegate import CELL, ItemDelegate
from vlmtool_desktop.session import Session
from vlmtool_desktop.widgets.grid_view import GridView
from vlmtool_desktop.widgets.parts import EmptyState, column, frame, push_button, row, text_label

if TYPE_CHECKING:
    from vlmtool_core.project import ItemQuery, Project

SEARCH_DELAY_MS = 200
_Select = QItemSelectionModel.SelectionFlag


class LibraryPanel(QWidget):
    """Lists item ids by the current query; the grid follows the session and leads it."""

    add_requested = Signal()
    counted = Signal(int)

    def __init__(self, session: Session, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._bridge = bridge
        self._following = False
        self.total = 0
        self.model = ItemModel(bridge, self)
        self.grid = GridView(CELL)
        self.grid.setModel(self.model)
        self.grid.setItemDelegate(ItemDelegate(session, self.grid))
        self.grid.setProperty("frameless", True)
        self.grid.setAccessibleName(self.tr("Items of the project"))
        self._count = text_label("", "muted")
        self._stack = QStackedWidget()
        self._empty = self._make_empty()
        self._nothing = EmptyState(
            self.tr("No item fits"), self.tr("Change the search or the filter above."), "search"
        )
        for page in (self.grid, self._empty, self._nothing):
            self._stack.addWidget(page)
        self._build()
        self.grid.selectionModel().currentChanged.connect(self._current_changed)
        self.grid.selectionModel().selectionChanged.connect(self._selection_changed)
        session.item_changed.connect(self._follow_item)
        session.labels_changed.connect(self._labels_changed)

    def _make_empty(self) -> EmptyState:
        empty = EmptyState(
            self.tr("Drop files or folders here"),
            self.tr("Pictures, DICOM and video stay where they are; the project refers to them."),
            "add",
        )
        button = push_button(self.tr("Add files…"), "add", primary=True)
        button.clicked.connect(self.add_requested)
        empty.add_button(button)
        return empty

    def _build(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search names"))
        self.search.setAccessibleName(self.tr("Search names"))
        self.search.setClearButtonEnabled(True)
        for button in self.search.findChildren(QToolButton):
            button.setAccessibleName(self.tr("Clear the search"))
        self.status = self._combo(
            self.tr("Show"),
            (
                (self.tr("All items"), None),
                (self.tr("Unlabelled"), "unlabelled"),
                (self.tr("Labelled"), "labelled"),
                (self.tr("Predicted"), "predicted"),
                (self.tr("Unreadable"), "unreadable"),
            ),
        )
        self.order = self._combo(
            self.tr("Order"),
            (
                (self.tr("By name"), "name"),
                (self.tr("As added"), "added"),
                (self.tr("Doubtful first"), "score"),
            ),
        )
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_DELAY_MS)
        self._timer.timeout.connect(self.reload)
        self.search.textChanged.connect(lambda _text: self._timer.start())
        filters = row(self.status, self.order)
        head = column(self.search, spacing=6)
        head.addLayout(filters)
        head.addWidget(self._count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(frame("bar", head, (8, 8, 8, 6)))
        layout.addWidget(self._stack, 1)

    def _combo(self, name: str, choices: tuple[tuple[str, str | None], ...]) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setToolTip(name)
        for text, value in choices:
            combo.addItem(text, value)
        combo.setMinimumContentsLength(8)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.currentIndexChanged.connect(lambda _index: self.reload())
        return combo

    def page_title(self) -> str:
        """What is said in place of the grid, "" while there are items to see."""
        page = self._stack.currentWidget()
        return page.title.text() if isinstance(page, EmptyState) else ""

    @property
    def count_label(self) -> QLabel:
        return self._count

    # What is listed --------------------------------------------------------------------------

    def query(self) -> ItemQuery:
        """The query that search and filters make."""
        from vlmtool_core.project import ItemQuery

        query = ItemQuery(status=self.status.currentData(), order=self.order.currentData())
        text = self.search.text().strip()
        return replace(query, text=text) if text else query

    def reload(self) -> None:
        """List again; the newest wish wins."""
        if self._session.project is None:
            self.model.forget()
            return
        query = self.query()

        def work(project: Project) -> tuple[list[int], int]:
            return project.item_ids(query), project.count()

        self._bridge.project(work, self._take, lane="library")

    def _take(self, listed: tuple[list[int], int]) -> None:
        ids, total = listed
        self.total = total
        self.model.set_ids(ids)
        self._count.setText(self._count_text(len(ids), total))
        page = self.grid if ids else (self._nothing if total else self._empty)
        self._stack.setCurrentWidget(page)
        self.grid.updateGeometries()
        self.counted.emit(total)
        self._show_something(ids)

    def _count_text(self, shown: int, total: int) -> str:
        if shown != total:
            return self.tr("{shown} of {total} items").format(
                shown=f"{shown:,}", total=f"{total:,}"
            )
        return self.tr("1 item") if total == 1 else self.tr("{n} items").format(n=f"{total:,}")

    def _show_something(self, ids: list[int]) -> None:
        current = self._session.item
        if current is not None and self.model.row_of(current) is not None:
            self._follow_item()
        elif current is None and ids:
            self._session.set_item(ids[0])

    def refresh(self, item_ids: list[int] | None = None) -> None:
        """Read these items again when they are next seen."""
        self.model.refresh(item_ids)

    def _labels_changed(self) -> None:
        self.grid.viewport().update()

    # Current item and selection ---------------------------------------------------------------

    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid() and not self._following:
            self._session.set_item(self.model.id_at(current.row()))

    def _selection_changed(self) -> None:
        ids: list[int] = []
        selection = self.grid.selectionModel().selection()
        for number in range(selection.count()):
            span = selection.at(number)
            ids += self.model.ids_between(span.top(), span.bottom())
        self._session.set_selection(ids)

    def _follow_item(self) -> None:
        item = self._session.item
        row_number = self.model.row_of(item) if item is not None else None
        if row_number is None or self.grid.currentIndex().row() == row_number:
            return
        self._following = True
        index = self.model.index(row_number, 0)
        self.grid.selectionModel().setCurrentIndex(index, _Select.ClearAndSelect)
        self.grid.scrollTo(index)
        self._following = False

    def step(self, distance: int) -> bool:
        """Go to the item `distance` further on; False at either end of the list."""
        item = self._session.item
        position = self.model.row_of(item) if item is not None else None
        target = self.model.id_at((-1 if position is None else position) + distance)
        if target is None:
            return False
        self._session.set_item(target)
        return True

    def neighbours(self, item: int, before: int | None) -> list[ItemRef]:
        """The two items that follow `item`, away from the one looked at before; only those whose
        records are read already.
        """
        row_number = self.model.row_of(item)
        if row_number is None:
            return []
        back = before is not None and self.model.row_of(before) == row_number + 1
        rows = [row_number + (-step if back else step) for step in (1, 2)]
        ids = [self.model.id_at(one) for one in rows]
        records = [self.model.record(one) for one in ids if one is not None]
        return [item_ref(one) for one in records if one and one.kind and not one.error]

    def position(self) -> tuple[int, int]:
        """1-based position of the current item and the number of items; 0 when not listed."""
        item = self._session.item
        place = self.model.row_of(item) if item is not None else None
        return (0 if place is None else place + 1), self.model.rowCount()
