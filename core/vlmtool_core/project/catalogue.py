"""What a project knows already, for recognising files by place and by content."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from vlmtool_core.media import Discovered
from vlmtool_core.media.archives import is_there
from vlmtool_core.store.records import KnownItem, NewItem


class Catalogue:
    """Known items by file, by content and by name. Reading it is safe from threads."""

    def __init__(self, known: Sequence[KnownItem]) -> None:
        self._by_id: dict[int, KnownItem] = {}
        self._by_file: dict[str, int] = {}
        self._by_sha: dict[str, list[int]] = {}
        self._names: set[str] = set()
        self.last_id = 0
        for item in known:
            self._add(item)

    def _add(self, item: KnownItem) -> None:
        self._by_id[item.id] = item
        self._names.add(item.name)
        self.last_id = max(self.last_id, item.id)
        for file in item.files or (item.path,):
            self._by_file[file] = item.id
        if item.sha256:
            self._by_sha.setdefault(item.sha256, []).append(item.id)

    def learn(self, written: Sequence[tuple[int, NewItem]]) -> None:
        """Take over rows that were just written."""
        for item_id, new in written:
            self._forget(item_id)
            self._add(
                KnownItem(
                    item_id,
                    new.name,
                    str(new.path),
                    new.sha256,
                    new.stamp,
                    new.kind is not None,
                    new.group,
                    tuple(str(file) for file in new.files),
                )
            )

    def _forget(self, item_id: int) -> None:
        item = self._by_id.pop(item_id, None)
        if item is None:
            return
        self._names.discard(item.name)
        for file in item.files or (item.path,):
            self._by_file.pop(file, None)
        if item.sha256:
            self._by_sha[item.sha256].remove(item_id)

    def by_id(self, item_id: int) -> KnownItem:
        return self._by_id[item_id]

    def at(self, found: Discovered) -> KnownItem | None:
        """The item at this place: of this file, or a series that shares a slice with it."""
        for file in found.files or (found.path,):
            item_id = self._by_file.get(str(file))
            if item_id is not None:
                return self._by_id[item_id]
        return None

    def lost(self, sha256: str, *, besides: Collection[int]) -> KnownItem | None:
        """An item of this content whose file is gone: it has moved."""
        for item_id in self._by_sha.get(sha256, ()):
            item = self._by_id[item_id]
            if item_id not in besides and not is_there(Path((item.files or (item.path,))[0])):
                return item
        return None

    def name_of(self, sha256: str) -> str | None:
        """The name of the first item with this content."""
        ids = self._by_sha.get(sha256)
        return self._by_id[ids[0]].name if ids else None

    def has_name(self, name: str) -> bool:
        return name in self._names
