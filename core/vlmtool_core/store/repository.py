"""The store of one project: one repository per topic on one database."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, select

from vlmtool_core.errors import (
    CorruptProjectError,
    ProjectNotFoundError,
    StorageError,
    VlmtoolError,
)
from vlmtool_core.store import migrate, tables
from vlmtool_core.store.annotations import AnnotationStore
from vlmtool_core.store.audit import AuditStore
from vlmtool_core.store.database import BUSY_TIMEOUT_S, Database
from vlmtool_core.store.findings import FindingStore
from vlmtool_core.store.items import ItemStore
from vlmtool_core.store.labels import LabelStore
from vlmtool_core.store.learning import LearningStore
from vlmtool_core.store.postgres import PostgresDatabase
from vlmtool_core.store.predictions import RunStore
from vlmtool_core.store.records import StoreCounts
from vlmtool_core.store.settings_table import SettingStore
from vlmtool_core.store.sqlite import SqliteDatabase
from vlmtool_core.store.steps import StepStore


def default_author() -> str:
    """The name under which this user's decisions are recorded."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        return "unknown"


class Store:
    """Everything that is in the project's database. Safe to use from several threads.

    items, labels, annotations, runs, findings, learning, steps, audit, settings : by topic
    """

    def __init__(self, database: Database, author: str) -> None:
        self.database = database
        self.author = author
        self.settings = SettingStore(database)
        self.items = ItemStore(database)
        self.labels = LabelStore(database)
        self.annotations = AnnotationStore(database, author)
        self.steps = StepStore(database, author)
        self.runs = RunStore(database)
        self.findings = FindingStore(database, author)
        self.learning = LearningStore(database)
        self.audit = AuditStore(database, author)

    @property
    def read_only(self) -> bool:
        return self.database.read_only

    def counts(self) -> StoreCounts:
        """How much of everything there is."""
        item, finding, annotation = tables.Item, tables.Finding, tables.Annotation
        measured = annotation.kind == "measurement"
        decided = select(tables.Review.entity_id).where(tables.Review.entity == "finding")
        used = select(item.group_id).where(item.group_id.is_not(None)).distinct()
        statements: dict[str, Select[Any]] = {
            "items": select(func.count(item.id)),
            "unreadable": select(func.count(item.id)).where(item.kind.is_(None)),
            "labelled": select(func.count(annotation.item_id.distinct())).where(~measured),
            "groups": select(func.count()).select_from(used.subquery()),
            "annotations": select(func.count(annotation.id)).where(~measured),
            "measurements": select(func.count(annotation.id)).where(measured),
            "predictions": select(func.count(tables.Prediction.id)),
            "runs": select(func.count(tables.Run.id)),
            "findings": select(func.count(finding.id)),
            "pending_findings": select(func.count(finding.id)).where(finding.id.not_in(decided)),
            "versions": select(func.count(tables.ModelVersion.number)),
        }
        with self.database.reading() as connection:
            found = {n: connection.execute(s).scalar_one() for n, s in statements.items()}
        return StoreCounts(**found)

    def close(self) -> None:
        self.database.close()


def create_store(path: Path, author: str | None = None) -> Store:
    """Make a new project file and open it.

    Raises
    ------
    ProjectExistsError, StorageError
    """
    migrate.create(path)
    return Store(SqliteDatabase(path), author or default_author())


def open_store(
    path: Path,
    backups: Path,
    *,
    author: str | None = None,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> Store:
    """Open a project file: checked, and brought up to date after a backup.

    On a disk that cannot be written to it is opened read-only; every change then raises
    `StorageError`.

    Raises
    ------
    ProjectNotFoundError, CorruptProjectError, NewerProjectError, ProjectBusyError, StorageError
    """
    if not path.is_file():
        raise ProjectNotFoundError("there is no project in this folder", path=path.parent)
    _check_size(path)
    database: Database = SqliteDatabase(path, busy_timeout_s=busy_timeout_s)
    try:
        _prepare(database, backups)
    except StorageError:
        database.close()
        database = _read_only(path)
        _prepare(database, backups)
    except VlmtoolError:
        database.close()
        raise
    return Store(database, author or default_author())


def create_server_store(url: str, folder: Path, author: str | None = None) -> Store:
    """Make a project in an empty database of a server and open it; `folder` is the project's.

    Raises
    ------
    ProjectExistsError, ProjectNotFoundError, StorageError, UsageError, MissingDependencyError
    """
    database = PostgresDatabase(url, folder)
    try:
        migrate.create_on_server(database)
    except VlmtoolError:
        database.close()
        raise
    return Store(database, author or default_author())


def open_server_store(
    url: str,
    folder: Path,
    *,
    author: str | None = None,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> Store:
    """Open the project in a database of a server, brought up to date.

    Where the server or the user's rights allow no writing, it is opened read-only.

    Raises
    ------
    ProjectNotFoundError, CorruptProjectError, NewerProjectError, ProjectBusyError, StorageError,
    MissingDependencyError
    """
    database = PostgresDatabase(url, folder, busy_timeout_s=busy_timeout_s)
    try:
        migrate.upgrade(database, folder)
    except VlmtoolError:
        database.close()
        raise
    return Store(database, author or default_author())


def _check_size(path: Path) -> None:
    """Look before SQLite does: it takes an empty file for a new database and fills it.

    The file itself must not be opened here: closing it would drop the POSIX locks that SQLite
    holds on it for this process, and another process could then delete the journal in use.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=path) from error
    if not size:
        raise CorruptProjectError("the file is empty", path=path)


def _prepare(database: Database, backups: Path) -> None:
    database.check()
    migrate.upgrade(database, backups)


def _read_only(path: Path) -> Database:
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        raise StorageError(
            "the disk is read-only and the project was not closed on it",
            path=path,
            remedy="Copy the project's folder to a disk that you may write to and open it there.",
        )
    return SqliteDatabase(path, read_only=True)
