"""The list of projects opened last, newest first, in the program's own folder. No Qt."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core import paths
from vlmtool_core.errors import StorageError

MOST = 12

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecentProject:
    """A project that was open once; `there` when its folder still holds one."""

    root: Path
    name: str

    @property
    def there(self) -> bool:
        return any((self.root / name).is_file() for name in ("project.sqlite", "project.toml"))


def _file() -> Path:
    return paths.config_dir() / "recent.json"


def recent_projects() -> list[RecentProject]:
    """The list; a damaged file is reported in the log and read as empty, for it is only a
    convenience."""
    try:
        rows = json.loads(_file().read_text(encoding="utf-8"))
        return [RecentProject(Path(row["root"]), str(row["name"])) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the list of recent projects cannot be read: %s", error)
        return []


def remember_project(root: Path, name: str) -> None:
    """Put a project on top of the list."""
    rows = [RecentProject(root, name), *(p for p in recent_projects() if p.root != root)]
    _write(rows[:MOST])


def forget_project(root: Path) -> None:
    _write([p for p in recent_projects() if p.root != root])


def _write(rows: list[RecentProject]) -> None:
    data = json.dumps([{"root": str(p.root), "name": p.name} for p in rows], indent=1)
    try:
        paths.write_atomically(_file(), data.encode())
    except StorageError as error:
        log.warning("the list of recent projects cannot be written: %s", error)
