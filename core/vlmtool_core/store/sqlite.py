"""A project in one SQLite file: many readers, one writer per process, errors in our own words.

Python 3.11's sqlite3 opens transactions late and commits by itself before some statements;
`isolation_level=None` with an explicit BEGIN gives exact transactions. A deferred transaction
that read first cannot become a writer once another process has committed, so writers BEGIN
IMMEDIATE and wait for `busy_timeout`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from vlmtool_core.errors import CorruptProjectError, ProjectBusyError, StorageError, VlmtoolError
from vlmtool_core.store.database import BUSY_TIMEOUT_S, Database, to_json

_STORAGE_WORDS = ("disk", "full", "readonly", "read-only", "unable to open", "i/o")
_CORRUPT_WORDS = ("malformed", "not a database", "corrupt")


def translate(error: BaseException, path: Path) -> VlmtoolError | None:
    """Our error for one of SQLite's, or None when it is a fault of the program."""
    if isinstance(error, PoolTimeoutError):
        return ProjectBusyError("another job of this program is still writing", path=path)
    text = str(getattr(error, "orig", None) or error)
    lower = text.lower()
    if "locked" in lower or "busy" in lower:
        return ProjectBusyError("another program is writing to the project", path=path)
    if any(word in lower for word in _CORRUPT_WORDS):
        return CorruptProjectError(f"the database is damaged: {text}", path=path)
    if any(word in lower for word in _STORAGE_WORDS):
        return StorageError(f"the database cannot be read or written: {text}", path=path)
    return None


def file_url(path: Path, options: str) -> str:
    """SQLAlchemy's URL of a file. Quoted twice: for SQLAlchemy, and for SQLite's own URI."""
    return f"sqlite:///file:{quote(quote(str(path)))}?{options}&uri=true"


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Raises
    ------
    ProjectBusyError, CorruptProjectError, StorageError
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
        ours = translate(error, path)
        if ours is None:
            raise
        raise ours from error


class SqliteDatabase(Database):
    """One project file. Safe to use from several threads; a transaction belongs to one.

    read_only : open the file as it is, without a lock or journal beside it (read-only disks)
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        super().__init__(path, read_only=read_only)
        self._busy_timeout_s = busy_timeout_s
        self.reader = self._engine("BEGIN", connections=16)
        self.writer = self.reader if read_only else self._engine("BEGIN IMMEDIATE", connections=1)

    def _engine(self, begin: str, *, connections: int) -> Engine:
        engine = create_engine(
            file_url(self.path, "mode=ro&immutable=1" if self.read_only else "mode=rw"),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._busy_timeout_s,
            json_serializer=to_json,
        )
        event.listen(engine, "connect", self._configure)

        def emit_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(engine, "begin", emit_begin)
        return engine

    def _configure(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(self._busy_timeout_s * 1000)}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-65536")
        if not self.read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    def translated(self) -> AbstractContextManager[None]:
        return translated(self.path)

    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def check(self) -> None:
        """Read the whole file once.

        Raises
        ------
        CorruptProjectError : SQLite's quick check finds damage.
        """
        with self.reading() as connection:
            rows = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
        if rows != ["ok"]:
            raise CorruptProjectError(f"the database is damaged: {rows[0]}", path=self.path)

    def backup(self, target: Path) -> None:
        """Copy a consistent state to `target` (SQLite's online backup), whole or not at all."""
        temporary = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with translated(self.path):
                _copy(self.path, temporary)
            temporary.replace(target)
        except OSError as error:
            raise StorageError(error.strerror or str(error), path=target) from error
        finally:
            temporary.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    origin = sqlite3.connect(source)
    copy = sqlite3.connect(target)
    try:
        origin.backup(copy)
    finally:
        copy.close()
        origin.close()
