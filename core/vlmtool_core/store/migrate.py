"""Creates a project's database and brings an older one up to date, a file after a backup of it."""

from __future__ import annotations

import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool

from vlmtool_core.errors import (
    CorruptProjectError,
    NewerProjectError,
    ProjectExistsError,
    StorageError,
    UsageError,
)
from vlmtool_core.store.database import Database
from vlmtool_core.store.postgres import PostgresDatabase
from vlmtool_core.store.sqlite import file_url, translated

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
# What this program writes. Known without loading Alembic, which would slow every opening down.
NEWEST = "0002"


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str | None:
    """The newest revision that there is a script for."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def revision_of(database: Database) -> str:
    """The revision of a project file.

    Raises
    ------
    CorruptProjectError : it is no project database
    NewerProjectError : a newer version of the program wrote it
    """
    with database.reading() as connection:
        found = None
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is None:
        raise CorruptProjectError("the database is not one of vlmtool", path=database.path)
    revision = str(found)
    if revision != NEWEST and revision not in _known_revisions():
        raise NewerProjectError(
            f"made by a newer version of vlmtool (database revision {revision},"
            f" this program knows {NEWEST})",
            path=database.path,
        )
    return revision


def _migrate(connection: Connection, revision: str = "head") -> None:
    from alembic import command

    command.upgrade(_config(connection), revision)


def create_on_server(database: PostgresDatabase, revision: str = "head") -> None:
    """Make a project's tables in an empty database: all of them, or none.

    Raises
    ------
    ProjectExistsError : there is one. UsageError : there are tables of something else.
    StorageError, ProjectBusyError
    """
    with database.writing() as connection:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            raise ProjectExistsError(
                "there is a project in this database",
                path=database.path,
                remedy="Use another one, or open the folder whose project.toml names it.",
            )
        if tables:
            raise UsageError(
                f"the database is not empty: it holds {tables[0]!r}",
                field="--database",
                remedy="Make one for this project: createdb NAME",
            )
        _migrate(connection, revision)


def _upgrade_file(path: Path, revision: str = "head") -> None:
    """Migrate on a connection of its own: batch steps need foreign keys off, then checked."""
    engine = create_engine(file_url(path, "mode=rwc"), poolclass=NullPool)

    def manual(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        # Kept in the file from the start: switching later fails while another process writes.
        connection.execute("PRAGMA journal_mode=WAL")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", manual)
    event.listen(engine, "begin", begin)
    with translated(path), engine.begin() as connection:
        _migrate(connection, revision)
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise CorruptProjectError(
                f"{len(broken)} rows point to rows that are gone; nothing was changed", path=path
            )


def create(path: Path, revision: str = "head") -> None:
    """Make a new project file: complete, or not there at all.

    Raises
    ------
    ProjectExistsError : there is one
    StorageError : the folder cannot be written to
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            _upgrade_file(temporary, revision)
            # A hard link fails when the name is taken, where a rename would overwrite.
            _publish(temporary, path)
    except FileExistsError as error:
        raise ProjectExistsError("there is a project in this folder", path=path.parent) from error
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=path.parent) from error


def _publish(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        temporary.rename(path)


def upgrade(database: Database, backups: Path) -> Path | None:
    """Bring an older database up to date; returns the backup made before, None if there is none.

    A server migrates in one transaction, and its backups are made by its own tools.

    Raises
    ------
    NewerProjectError, CorruptProjectError, StorageError, ProjectBusyError
    """
    revision = revision_of(database)
    if revision == NEWEST or database.read_only:
        return None
    if isinstance(database, PostgresDatabase):
        with database.writing() as connection:
            _migrate(connection)
        return None
    backup = backups / f"{backup_stamp()}-revision-{revision}.sqlite"
    database.backup(backup)
    _upgrade_file(database.path)
    return backup


def backup_stamp() -> str:
    """A name for a backup that sorts by time: `20260131-235959-123456`, UTC."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
