"""A project that stays open between the requests about single frames: opening one checks its
whole file, which takes longer than many a prediction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmtool_core.project import Project

# Long enough to look at the next picture; afterwards the folder may be moved or deleted.
IDLE_S = 20.0
_SUFFIXES = (".sqlite", ".toml")

log = logging.getLogger(__name__)


class KeptProject:
    """The project that was used last; closed when it has been idle for a while."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.RLock()
        self._project: Project | None = None
        self._files: list[tuple[int, int]] = []
        self._timer: threading.Timer | None = None

    @property
    def is_open(self) -> bool:
        return self._project is not None

    @contextmanager
    def use(self, root: Path) -> Iterator[Project]:
        """The open project in this folder, for one request at a time.

        Raises
        ------
        ProjectNotFoundError, CorruptProjectError, NewerProjectError, ProjectBusyError
        """
        with self._lock:
            self._stop_timer()
            project = self._opened(root.absolute())
            try:
                yield project
            except BaseException:
                # Whatever went wrong, the next request starts from the file as it is.
                self.close()
                raise
            self._timer = threading.Timer(self._idle_s, self.close)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Close it now, if it is open and nobody uses it."""
        with self._lock:
            self._stop_timer()
            project, self._project = self._project, None
            if project is not None:
                project.close()
                log.debug("an idle project was closed")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _opened(self, root: Path) -> Project:
        from vlmtool_core.project import Project

        kept = self._project
        if kept is not None and kept.root == root and _files(root) == self._files:
            return kept
        self.close()
        self._project = Project.open(root)
        # The upgrade of an older project may have put another file in its place.
        self._files = _files(root)
        return self._project


def _files(root: Path) -> list[tuple[int, int]]:
    """Which files make the project, so that another one in their place is noticed."""
    found = [path.stat() for path in sorted(root.glob("project.*")) if path.suffix in _SUFFIXES]
    return [(one.st_dev, one.st_ino) for one in found]
