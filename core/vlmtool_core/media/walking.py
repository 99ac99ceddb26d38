"""Walks folders to the bottom, however deep, and never in circles."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import natural_key


def is_hidden(name: str) -> bool:
    """Whether files and folders of this name are left out: what macOS puts into archives, too."""
    return name.startswith(".") or name == "__MACOSX"


def walk(root: Path, cancel: CancelToken) -> Iterator[tuple[Path, list[Path]]]:
    """Folders with their files, depth first in natural order; linked folders come last.

    A folder is walked once, by whichever way it is found first. A link to a folder that holds
    `root` is not followed. A folder that cannot be read is given as its own only file.

    Raises
    ------
    CancelledError
    """
    visited: set[tuple[int, int]] = set()
    around = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
    waiting = deque([root])
    while waiting:
        start = waiting.popleft()
        if start != root and _identity(start) in around:
            continue
        below = [start]
        while below:
            cancel.check()
            folder = below.pop()
            identity = _identity(folder)
            if identity in visited:
                continue
            if identity is not None:
                visited.add(identity)
            try:
                entries = _entries(folder)
            except OSError:
                yield folder, [folder]
                continue
            folders = [entry for entry in entries if _is_folder(entry)]
            yield folder, [Path(entry.path) for entry in entries if not _is_folder(entry)]
            waiting += [Path(entry.path) for entry in folders if entry.is_symlink()]
            below += [Path(e.path) for e in reversed(folders) if not e.is_symlink()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is not hidden, in natural order."""
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not is_hidden(entry.name)]
    return sorted(entries, key=lambda entry: natural_key(entry.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode; None where the folder cannot be looked at."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
