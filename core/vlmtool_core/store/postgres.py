"""A project in a PostgreSQL database: for runs whose results are too many for one file, and for
people who work on one project from several machines.

Writers take turns by an advisory lock, as SQLite's do by BEGIN IMMEDIATE; they read committed
rows, which are all of them once the lock is held. Readers see one snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from vlmtool_core.errors import (
    CorruptProjectError,
    MissingDependencyError,
    ProjectBusyError,
    ProjectNotFoundError,
    StorageError,
    UsageError,
    VlmtoolError,
)
from vlmtool_core.store.database import BUSY_TIMEOUT_S, Database, to_json

DRIVER = "postgresql+psycopg"
_LOCK = 7_165_101  # of all advisory locks of the database, the one that our writers take
_CONNECT_S = 10

# By SQLSTATE, longest match first: https://www.postgresql.org/docs/current/errcodes-appendix.html
_BUSY = ("55P03", "40001", "40P01")
_ABSENT = ("3D000",)
_CORRUPT = ("XX001", "XX002")
_NO_DATABASE = re.compile(r'database "[^"]*" does not exist')
_STORAGE = ("08", "25006", "28", "42501", "53", "57", "58")


def server_url(given: str) -> str:
    """The URL as a project keeps it: `postgresql+psycopg://USER@HOST:PORT/DATABASE`.

    Raises
    ------
    UsageError : another kind of database, none named, or a password in it.
    """
    try:
        url = make_url(given)
    except ArgumentError:
        url = URL.create("")
    if url.drivername not in ("postgresql", "postgres", DRIVER) or not url.database:
        raise UsageError(
            "not the URL of a PostgreSQL database",
            field="--database",
            remedy="Give it as postgresql://USER@HOST/DATABASE",
        )
    if url.password is not None or "password" in url.query:
        raise UsageError(
            "the URL holds a password, which would lie open in the project's folder",
            field="--database",
            remedy="Leave it out, and put it into ~/.pgpass or the variable PGPASSWORD.",
        )
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)


class PostgresDatabase(Database):
    """One database of a server, in the schema that the connection finds first.

    folder : the project's folder, named in errors (the URL is not)

    Raises
    ------
    MissingDependencyError : the driver is not installed.
    StorageError : the server does not answer or refuses. ProjectNotFoundError : no such database.
    """

    def __init__(self, url: str, folder: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        super().__init__(folder, read_only=False)
        self._url = make_url(server_url(url))
        self._busy_timeout_s = busy_timeout_s
        self.reader = self._engine("REPEATABLE READ", connections=16, read_only=True)
        self.writer = self._engine("READ COMMITTED", connections=1, read_only=False)
        event.listen(self.writer, "begin", self._lock)
        with self.reading() as connection:
            self.read_only = bool(connection.execute(text(_IS_READ_ONLY)).scalar())

    def _engine(self, isolation: str, *, connections: int, read_only: bool) -> Engine:
        try:
            return create_engine(
                self._url,
                isolation_level=isolation,  # type: ignore[arg-type]
                execution_options={"postgresql_readonly": read_only},
                pool_size=connections,
                max_overflow=0,
                pool_timeout=self._busy_timeout_s,
                pool_pre_ping=True,
                json_serializer=to_json,
                connect_args={"connect_timeout": _CONNECT_S, "application_name": "vlmtool"},
            )
        except ImportError as error:
            raise MissingDependencyError(
                "the driver for PostgreSQL is not installed",
                remedy='Install it: pip install "vlmtool[postgres]"',
            ) from error

    def _lock(self, connection: Connection) -> None:
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {max(1, int(self._busy_timeout_s * 1000))}"
        )
        connection.exec_driver_sql(
            f"SELECT pg_advisory_xact_lock({_LOCK}, hashtext(current_schema()))"
        )

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            ours = translate(error, self.path)
            if ours is None:
                raise
            raise ours from error

    def size_bytes(self) -> int:
        with self.reading() as connection:
            return int(
                connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            )

    def check(self) -> None:
        """Ask for one row; the server keeps watch over its own files."""
        with self.reading() as connection:
            connection.execute(text("SELECT 1")).scalar_one()

    def backup(self, target: Path) -> None:
        raise UsageError(
            "the project is on a PostgreSQL server, whose own tools make backups",
            path=self.path,
            remedy=f"Use: pg_dump -Fc -f {target.stem}.dump {self._url.database}",
        )


_IS_READ_ONLY = """
SELECT pg_is_in_recovery() OR (to_regclass('annotation_event') IS NOT NULL
  AND NOT has_table_privilege('annotation_event', 'INSERT'))
"""


def translate(error: BaseException, path: Path) -> VlmtoolError | None:
    """Our error for one of PostgreSQL's, or None when it is a fault of the program."""
    if isinstance(error, PoolTimeoutError):
        return ProjectBusyError("another job of this program is still writing", path=path)
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None) or ""
    lines = str(original).strip().splitlines() or [type(original).__name__]
    if state.startswith(_BUSY):
        return ProjectBusyError("another program is writing to the project", path=path)
    if state.startswith(_CORRUPT):
        return CorruptProjectError(
            f"the database is damaged: {lines[0]}", path=path, remedy="Ask who runs the server."
        )
    gone = not state and type(original).__name__ in ("OperationalError", "ConnectionTimeout")
    if state.startswith(_ABSENT) or (gone and _NO_DATABASE.search(lines[-1])):
        return ProjectNotFoundError(
            f"there is no such database: {lines[-1]}",
            path=path,
            remedy="Make it on the server (createdb), or correct the URL in project.toml.",
        )
    if gone or state.startswith(_STORAGE):
        return StorageError(
            f"the database server does not serve us: {lines[-1]}",
            path=path,
            remedy="Check that it runs, and user and password (~/.pgpass, PGPASSWORD).",
        )
    return None
