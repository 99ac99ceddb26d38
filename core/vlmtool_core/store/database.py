"""What the store needs of a database, be it a file or a server: transactions and our own errors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from vlmtool_core.errors import StorageError

BUSY_TIMEOUT_S = 10.0


def to_json(value: Any) -> str:
    """As JSON columns are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Database(ABC):
    """One project's database. Safe to use from several threads; a transaction belongs to one.

    path : what errors name: the file, or the project's folder where it is on a server
    reader : engine whose transactions see one state throughout
    writer : engine with one connection, whose transactions exclude all other writers
    """

    reader: Engine
    writer: Engine

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the project throughout."""
        with self.translated(), self.reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or changes nothing. Not to be nested.

        Raises
        ------
        ProjectBusyError : another writer did not finish in time
        StorageError : the disk is full or read-only
        """
        if self.read_only:
            raise StorageError("the project is open read-only", path=self.path)
        with self.translated(), self.writer.begin() as connection:
            yield connection

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Turns the driver's errors into ours.

        Raises
        ------
        ProjectBusyError, CorruptProjectError, StorageError
        """

    @abstractmethod
    def size_bytes(self) -> int:
        """What the database takes on its disk."""

    @abstractmethod
    def check(self) -> None:
        """Look for damage.

        Raises
        ------
        CorruptProjectError
        """

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Copy a consistent state to `target`, whole or not at all.

        Raises
        ------
        StorageError : it cannot be written. UsageError : the server's own tools do this.
        """

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()
