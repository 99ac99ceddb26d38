"""The findings of the review queue, fetched in pages as the list is scrolled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from vlmtool_core.records import Finding, FindingStatus
from vlmtool_desktop.discretion import discretion

if TYPE_CHECKING:
    from vlmtool_core.project import Project
    from vlmtool_desktop.bridge import Bridge

FindingRole = Qt.ItemDataRole.UserRole + 1
PAGE = 200
LANE = "findings"

Index = QModelIndex | QPersistentModelIndex


class FindingModel(QAbstractListModel):
    """Findings of one status (all when None), oldest first."""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._findings: list[Finding] = []
        self._status: FindingStatus | None = FindingStatus.PENDING
        self._exhausted = True
        self._fetching = False

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        return 0 if parent.isValid() else len(self._findings)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._findings):
            return None
        finding = self._findings[index.row()]
        if role == FindingRole:
            return finding
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return finding.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{finding.title}\n{discretion().item_name(finding.path, finding.item_id)}"
        return None

    def finding(self, row: int) -> Finding | None:
        return self._findings[row] if 0 <= row < len(self._findings) else None

    def row_of(self, finding_id: int | None) -> int | None:
        for row, finding in enumerate(self._findings):
            if finding.id == finding_id:
                return row
        return None

    def reload(self, status: FindingStatus | None) -> None:
        """Show findings of another status, or the same ones anew."""
        self._status = status
        self._fetch(0)

    def canFetchMore(self, parent: Index) -> bool:
        return not self._exhausted and not self._fetching

    def fetchMore(self, parent: Index) -> None:
        self._fetch(len(self._findings))

    def _fetch(self, offset: int) -> None:
        self._fetching = True
        status = self._status

        def work(project: Project) -> list[Finding]:
            return project.findings(status=status, offset=offset, limit=PAGE)

        self._bridge.project(work, lambda found: self._take(offset, found), lane=LANE)

    def _take(self, offset: int, found: list[Finding]) -> None:
        self._fetching = False
        self._exhausted = len(found) < PAGE
        if offset == 0:
            self.beginResetModel()
            self._findings = list(found)
            self.endResetModel()
        elif found:
            first = len(self._findings)
            self.beginInsertRows(QModelIndex(), first, first + len(found) - 1)
            self._findings += found
            self.endInsertRows()

    def forget(self) -> None:
        """Another project is open."""
        self._bridge.drop(LANE)
        self._take(0, [])

    def drop_row(self, row: int) -> None:
        """Take a finding off the list at once, before the project is read again."""
        self.beginRemoveRows(QModelIndex(), row, row)
        del self._findings[row]
        self.endRemoveRows()
