"""How folders come into the model store: made beside it, synced, and renamed into place whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlmtool_core.engine.packs import wheels
from vlmtool_core.errors import StorageError

_INCOMING = ".incoming-"
PARTIAL = ".partial-"
_DAY_S = 86_400
_MOST_DAYS = 30
_MEGABYTE = 1_000_000


def incoming_prefix() -> str:
    """The beginning of the name of a folder that this process is filling."""
    return f"{_INCOMING}{os.getpid()}-"


@contextmanager
def incoming_folder(root: Path) -> Iterator[Path]:
    """A folder on the store's own disk, deleted at the end.

    Raises
    ------
    StorageError : the store may not be written to, or the disk is full.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(dir=root, prefix=incoming_prefix())
    except OSError as error:
        raise wheels.storage_error(error, root) from error
    try:
        yield Path(folder)
    except OSError as error:
        raise wheels.storage_error(error, root) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(target: Path, final: Path) -> None:
    """Move a finished pack into place; a broken one that is in the way goes first."""
    _sync(target)
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(target.parent / f"{target.name}-replaced")
    target.rename(final)
    _sync_folder(final.parent)


def sweep(root: Path) -> None:
    """Delete what killed pulls left behind, and parts of downloads that nobody went on with."""
    import psutil

    for folder in root.glob(f"{_INCOMING}*"):
        owner = folder.name.removeprefix(_INCOMING).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in root.glob(f"{PARTIAL}*"):
        if folder.is_dir() and time.time() - _last_change(folder) > _MOST_DAYS * _DAY_S:
            shutil.rmtree(folder, ignore_errors=True)


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def children(folder: Path) -> list[Path]:
    """The visible folders in a folder, none if it is not there.

    Raises
    ------
    StorageError : it may not be read.
    """
    try:
        return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=folder) from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise `StorageError` unless `needed` bytes are free on the folder's disk."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{needed // _MEGABYTE} MB are needed to install {what}, "
            f"{free // _MEGABYTE} MB are free",
            path=folder.parent,
        )


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            # Some writers make private files; a shared store must be readable.
            path.chmod(path.stat().st_mode | 0o044)
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no way to sync a folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
