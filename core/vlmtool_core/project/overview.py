"""Looking at a project: its figures, its backups, and an item by name or path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import RecordNotFoundError
from vlmtool_core.project.records import ProjectInfo
from vlmtool_core.store.migrate import backup_stamp, revision_of
from vlmtool_core.store.records import ItemRecord

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project


def project_info(project: Project) -> ProjectInfo:
    """A project at a glance."""
    store = project.store
    active = store.learning.active_version()
    return ProjectInfo(
        name=project.name,
        root=project.root,
        read_only=project.read_only,
        revision=revision_of(store.database),
        size_bytes=store.database.size_bytes(),
        counts=store.counts(),
        items=store.items.kinds(),
        labels=tuple(label.name for label in project.label_set().labels),
        active_version=None if active is None else active.number,
        backups=tuple(sorted(_backups(project).glob("*.sqlite"))),
    )


def _backups(project: Project) -> Path:
    return project.root / "backups"


def backup_project(project: Project) -> Path:
    """Copy the database as it is now; the copy is a whole project file."""
    target = _backups(project) / f"{backup_stamp()}.sqlite"
    project.store.database.backup(target)
    return target


def find_item(project: Project, name: str) -> ItemRecord:
    """The item called `name`, else the one whose file is at that path.

    Raises
    ------
    RecordNotFoundError : neither is there
    """
    items = project.store.items
    try:
        return items.get(items.id_of(name))
    except RecordNotFoundError:
        wanted = str(Path(name).absolute())
        for known in items.known():
            if known.path == wanted:
                return items.get(known.id)
        raise
