"""Remembers the content hash of files that have not changed, so that a re-run need not read them.

A file counts as unchanged while its size and its modification time in nanoseconds are the same.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from vlmtool_core import paths
from vlmtool_core.batch.sqlite_file import open_cache
from vlmtool_core.errors import MediaError
from vlmtool_core.media.archives import stamp_of
from vlmtool_core.media.hashing import sha256_of_item
from vlmtool_core.records import ItemRef

_TABLES = """
CREATE TABLE IF NOT EXISTS content (
  path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID
"""
_CHUNK = 500

log = logging.getLogger(__name__)


class ContentHashes:
    """SHA-256 of items. `of` may be called from any thread, the rest only from the owner's."""

    def __init__(self, items: Iterable[ItemRef], file: Path | None = None) -> None:
        self._database = open_cache(file or paths.cache_dir() / "hashes.sqlite", _TABLES)
        self._known = _load(self._database, [_key(i) for i in items if not i.sha256])
        self._new: dict[str, tuple[str, str]] = {}
        self._asked: dict[str, str] = {}  # what the file looked like when it was handed out
        self._lock = threading.Lock()

    def of(self, item: ItemRef) -> str:
        """The item's hash, read from the file only when it is not known or the file changed.

        Raises
        ------
        MediaNotFoundError : a file is not there or may not be read.
        """
        if item.sha256:
            return item.sha256
        key, stamp = _key(item), _stamp(item)
        known = self._known.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        sha256 = sha256_of_item(item.path, item.files)
        with self._lock:
            self._known[key] = self._new[key] = (stamp, sha256)
        return sha256

    def told(self, item: ItemRef) -> ItemRef:
        """The item with its hash, as far as it is known without reading the file."""
        if item.sha256:
            return item
        key, stamp = _key(item), _stamp(item)
        known = self._known.get(key)
        if known is not None and known[0] == stamp:
            return replace(item, sha256=known[1])
        self._asked[key] = stamp
        return item

    def learn(self, item: ItemRef) -> None:
        """Take in the hash that somebody else has read after `told` was asked for the item."""
        key = _key(item)
        stamp = self._asked.pop(key, "")
        if stamp and item.sha256:
            with self._lock:
                self._known[key] = self._new[key] = (stamp, item.sha256)

    def save(self) -> None:
        """Store what was learned, in one transaction."""
        with self._lock:
            new, self._new = self._new, {}
        if new:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT OR REPLACE INTO content VALUES (?, ?, ?)",
                [(key, stamp, sha256) for key, (stamp, sha256) in new.items()],
            )
            self._database.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.save()
        finally:
            self._database.close()


def _load(database: sqlite3.Connection, keys: list[str]) -> dict[str, tuple[str, str]]:
    known: dict[str, tuple[str, str]] = {}
    for start in range(0, len(keys), _CHUNK):
        part = keys[start : start + _CHUNK]
        marks = ",".join("?" * len(part))
        query = f"SELECT path, stamp, sha256 FROM content WHERE path IN ({marks})"
        known.update((p, (stamp, sha)) for p, stamp, sha in database.execute(query, part))
    return known


def _key(item: ItemRef) -> str:
    if not item.files:
        return _text(item.path)
    names = "\n".join(_text(file) for file in item.files)
    return f"{_text(item.path)}#{hashlib.sha256(names.encode()).hexdigest()}"


def _text(path: Path) -> str:
    # SQLite takes no surrogates, which Python puts where a name is no UTF-8.
    return str(path.absolute()).encode("utf-8", "backslashreplace").decode()


def _stamp(item: ItemRef) -> str:
    try:
        stats = [stamp_of(file) for file in item.files or (item.path,)]
    except (OSError, MediaError):
        return ""
    text = " ".join(f"{size}:{modified_ns}" for size, modified_ns in stats)
    return text if len(stats) == 1 else hashlib.sha256(text.encode()).hexdigest()
