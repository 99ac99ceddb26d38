"""The items of the library: ids for all rows at once, records and thumbnails only when seen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QImage, QPixmap

from vlmtool_core.records import ErrorInfo, ItemRef, MediaKind
from vlmtool_desktop.discretion import discretion

if TYPE_CHECKING:
    from vlmtool_core.project import ItemRecord, Project
    from vlmtool_desktop.bridge import Bridge

ItemRole = Qt.ItemDataRole.UserRole + 1
ThumbnailRole = Qt.ItemDataRole.UserRole + 2

PAGE = 48
_MOST_PAGES_WAITING = 6
_MOST_RECORDS = 6000
_MOST_THUMBNAILS = 800
_MOST_THUMBNAILS_WAITING = 150
_THUMBNAILS_AT_ONCE = 2

Index = QModelIndex | QPersistentModelIndex


def load_records(project: Project, item_ids: Sequence[int]) -> list[ItemRecord]:
    """What is known of some items; runs in the project's thread."""
    return project.store.items.by_ids(item_ids)


def item_ref(record: ItemRecord) -> ItemRef:
    """What opens the item; it must be of a kind that can be opened."""
    if record.kind is None:
        raise ValueError(f"{record.name} is of no kind that can be opened")
    return ItemRef(record.name, record.path, record.kind, record.sha256, record.files, record.id)


def load_thumbnail(record: ItemRecord) -> QImage:
    """The cached thumbnail of an item; runs in a thread."""
    from vlmtool_core.errors import DamagedMediaError
    from vlmtool_core.media.thumbnails import thumbnail

    # The outermost slices of a volume are empty.
    frame = (record.frame_count or 1) // 2 if record.kind is MediaKind.VOLUME else 0
    path = thumbnail(record.path, record.files, record.sha256, frame=frame)
    image = QImage(str(path))
    if image.isNull():
        raise DamagedMediaError("the cached thumbnail cannot be read", path=path)
    return image


class ItemModel(QAbstractListModel):
    """Rows are item ids; `fetched_pages` tells which pages were ever asked for."""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._ids: list[int] = []
        self._row_of: dict[int, int] = {}
        self._rows: OrderedDict[int, ItemRecord] = OrderedDict()
        self._thumbnails: OrderedDict[int, QPixmap | None] = OrderedDict()
        self._stale: set[int] = set()
        self._pages: list[int] = []
        self._page_in_flight = False
        self._wanted: OrderedDict[int, ItemRecord] = OrderedDict()
        self._loading: set[int] = set()
        self._generation = 0
        self.fetched_pages: set[int] = set()
        discretion().changed.connect(self._announce_all)

    # Rows ------------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        return 0 if parent.isValid() else len(self._ids)

    def set_ids(self, item_ids: Sequence[int]) -> None:
        """Show these items; what is known of them is kept."""
        self.beginResetModel()
        self._ids = list(item_ids)
        self._row_of = {item_id: row for row, item_id in enumerate(self._ids)}
        self._pages.clear()
        self._wanted.clear()
        self.fetched_pages.clear()
        self._generation += 1
        self.endResetModel()

    def forget(self) -> None:
        """Another project: nothing known of items is true any more."""
        self._rows.clear()
        self._thumbnails.clear()
        self._stale.clear()
        self.set_ids([])

    def id_at(self, row: int) -> int | None:
        return self._ids[row] if 0 <= row < len(self._ids) else None

    def ids_between(self, first: int, last: int) -> list[int]:
        return self._ids[first : last + 1]

    def row_of(self, item_id: int) -> int | None:
        return self._row_of.get(item_id)

    def record(self, item_id: int) -> ItemRecord | None:
        """What is known of an item now, without asking for it."""
        return self._rows.get(item_id)

    def refresh(self, item_ids: Sequence[int] | None = None) -> None:
        """Read these items (all when None) again when they are next seen."""
        self._stale.update(self._rows if item_ids is None else item_ids)
        self._announce_all()

    def _announce_all(self) -> None:
        if self._ids:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._ids) - 1, 0))

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        item_id = self.id_at(index.row()) if index.isValid() else None
        if item_id is None:
            return None
        row = self._rows.get(item_id)
        if row is None or item_id in self._stale:
            self._want_page(index.row() // PAGE)
        if row is None:
            return None
        if role == ItemRole:
            return row
        if role == ThumbnailRole:
            return self._thumbnail(item_id, row)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return discretion().item_name(row.name, row.id)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tool_tip(row)
        return None

    # Pages: newest wish first, one at a time ---------------------------------------------------

    def _want_page(self, page: int) -> None:
        if page in self._pages:
            self._pages.remove(page)
        self._pages.append(page)
        del self._pages[:-_MOST_PAGES_WAITING]
        self._fetch_next_page()

    def _fetch_next_page(self) -> None:
        if self._page_in_flight or not self._pages:
            return
        page = self._pages.pop()
        wanted = [
            item_id
            for item_id in self._ids[page * PAGE : (page + 1) * PAGE]
            if item_id not in self._rows or item_id in self._stale
        ]
        if not wanted:
            self._fetch_next_page()
            return
        self._page_in_flight = True
        self.fetched_pages.add(page)
        self._stale.difference_update(wanted)
        self._bridge.project(
            lambda project: load_records(project, wanted), self._take_rows, self._page_failed
        )

    def _page_failed(self, error: ErrorInfo) -> None:
        self._page_in_flight = False
        self._pages.clear()
        self._bridge.failed.emit(error)

    def _take_rows(self, rows: list[ItemRecord]) -> None:
        self._page_in_flight = False
        for row in rows:
            self._rows[row.id] = row
            self._rows.move_to_end(row.id)
            self._announce(row.id)
        while len(self._rows) > _MOST_RECORDS:
            self._rows.popitem(last=False)
        self._fetch_next_page()

    def _announce(self, item_id: int) -> None:
        row = self._row_of.get(item_id)
        if row is not None:
            index = self.index(row, 0)
            self.dataChanged.emit(index, index)

    # Thumbnails: newest wish first, two at a time -----------------------------------------------

    def _thumbnail(self, item_id: int, row: ItemRecord) -> QPixmap | None:
        if item_id in self._thumbnails:
            self._thumbnails.move_to_end(item_id)
            return self._thumbnails[item_id]
        if row.error is None and item_id not in self._loading:
            self._wanted[item_id] = row
            self._wanted.move_to_end(item_id)
            while len(self._wanted) > _MOST_THUMBNAILS_WAITING:
                self._wanted.popitem(last=False)
            self._load_next_thumbnail()
        return None

    def _load_next_thumbnail(self) -> None:
        while self._wanted and len(self._loading) < _THUMBNAILS_AT_ONCE:
            item_id, record = self._wanted.popitem()
            self._loading.add(item_id)
            self._start_thumbnail(item_id, record, self._generation)

    def _start_thumbnail(self, item_id: int, record: ItemRecord, generation: int) -> None:
        def keep(pixmap: QPixmap | None) -> None:
            self._loading.discard(item_id)
            if generation == self._generation or item_id in self._row_of:
                self._thumbnails[item_id] = pixmap
                while len(self._thumbnails) > _MOST_THUMBNAILS:
                    self._thumbnails.popitem(last=False)
                self._announce(item_id)
            self._load_next_thumbnail()

        self._bridge.thumbnail(
            lambda: load_thumbnail(record),
            lambda image: keep(QPixmap.fromImage(image)),
            # The library marks items that cannot be read; the viewer says why.
            lambda _error: keep(None),
        )


def _tool_tip(record: ItemRecord) -> str:
    lines = [discretion().item_name(record.name, record.id)]
    if record.width and record.height:
        lines.append(f"{record.width} × {record.height}")
    if record.error is not None:
        lines.append(discretion().sentence(record.error.message))
    if record.labels:
        lines.append(", ".join(record.labels))
    return "\n".join(lines)
