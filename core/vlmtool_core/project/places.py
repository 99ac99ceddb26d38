"""Where a project's records lie: in a file of its folder, or on a server that the folder names."""

from __future__ import annotations

import tomllib
from pathlib import Path

from vlmtool_core.errors import CorruptProjectError, ProjectExistsError
from vlmtool_core.paths import write_atomically
from vlmtool_core.store.database import BUSY_TIMEOUT_S
from vlmtool_core.store.postgres import server_url
from vlmtool_core.store.repository import (
    Store,
    create_server_store,
    create_store,
    open_server_store,
    open_store,
)

DATABASE = "project.sqlite"
POINTER = "project.toml"  # names the database, where that is not a file of the folder
BACKUPS = "backups"


def is_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (DATABASE, POINTER))


def create_in(folder: Path, author: str | None, database: str | None) -> Store:
    """Make a project's store; on the server `database` (a URL) if one is given.

    Raises
    ------
    ProjectExistsError, StorageError, UsageError, ProjectNotFoundError (no such database on the
    server), MissingDependencyError
    """
    if database is None and not (folder / POINTER).exists():
        return create_store(folder / DATABASE, author)
    if is_project(folder) or database is None:
        raise ProjectExistsError("there is a project in this folder", path=folder)
    import tomli_w

    url = server_url(database)
    store = create_server_store(url, folder, author)
    write_atomically(folder / POINTER, tomli_w.dumps({"database": {"url": url}}).encode())
    return store


def open_in(folder: Path, author: str | None, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Store:
    """Open the store of the project in `folder`.

    Raises
    ------
    ProjectNotFoundError, CorruptProjectError, NewerProjectError, ProjectBusyError, StorageError,
    MissingDependencyError
    """
    file, pointer = folder / DATABASE, folder / POINTER
    if not pointer.is_file():
        return open_store(file, folder / BACKUPS, author=author, busy_timeout_s=busy_timeout_s)
    if file.exists():
        raise CorruptProjectError(
            f"{DATABASE} and {POINTER} are both there, and only one can be the project",
            path=folder,
            remedy="Move the one that is not yours out of the folder.",
        )
    url = _url_in(pointer)
    return open_server_store(url, folder, author=author, busy_timeout_s=busy_timeout_s)


def _url_in(pointer: Path) -> str:
    """The database's URL; `CorruptProjectError` when there is none to be read."""
    try:
        url = tomllib.loads(pointer.read_text(encoding="utf-8"))["database"]["url"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise CorruptProjectError(
            f"the file does not say where the project is ({type(error).__name__})",
            path=pointer,
            field="database.url",
            remedy='Write: [database] and url = "postgresql+psycopg://USER@HOST/DATABASE"',
        ) from error
    return server_url(str(url))
