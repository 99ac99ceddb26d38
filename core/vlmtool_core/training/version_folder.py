"""The folder of a model version: head and card, there whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import CorruptProjectError, ProjectBusyError, StorageError
from vlmtool_core.records import Json

if TYPE_CHECKING:
    from vlmtool_core.engine.heads import ProbeHead

CARD = "card.json"
UNCLAIMED = "unclaimed"
FOLDER = re.compile(r"v(\d{4,})")


def folder_name(number: int) -> str:
    """`v0001`."""
    return f"v{number:04d}"


@contextmanager
def training_lock(models: Path) -> Iterator[None]:
    """Hold the project's only right to train; the system frees it when the process dies.

    Raises
    ------
    ProjectBusyError : another process is training in this project.
    StorageError : the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = FileLock(models / ".training.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ProjectBusyError(
            "another training is under way in this project",
            remedy="Wait for it to end, or cancel it, then train again.",
            path=models.parent,
        ) from error
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=models) from error
    try:
        yield
    finally:
        lock.release()


def clear_leftovers(models: Path, known: Collection[int]) -> None:
    """Delete partial folders, and put versions that no row names into `unclaimed/`.

    The latter are of a training that was killed before it wrote its row, or newer than a backup
    of the database that was restored, so they are kept. Only while the training lock is held.
    """
    for folder in list(models.iterdir()):
        if folder.name.endswith(".partial"):
            shutil.rmtree(folder)
        name = FOLDER.fullmatch(folder.name)
        if name is not None and int(name[1]) not in known:
            aside = models / UNCLAIMED / f"{folder.name}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            folder.rename(aside)


def write_version(models: Path, number: int, head: ProbeHead, card: Mapping[str, Json]) -> Path:
    """Write `models/v0001` in one go: a partial folder, flushed to disk, then renamed.

    Raises
    ------
    StorageError : the disk is full or read-only; there is then no such folder.
    """
    target = models / folder_name(number)
    partial = models / f".{target.name}.partial"
    try:
        partial.mkdir(parents=True)
        head.save(partial)
        text = json.dumps(card, ensure_ascii=False, indent=1)
        (partial / CARD).write_text(text, encoding="utf-8")
        for file in partial.iterdir():
            _flush(file)
        partial.rename(target)
        _flush(models)
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _flush(path: Path) -> None:
    """Bring a file or folder to the disk; Windows cannot open folders, and need not."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_card(folder: Path) -> dict[str, Json]:
    """The card of a version.

    Raises
    ------
    CorruptProjectError : it is missing or no JSON.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptProjectError(
            f"the card of this model version cannot be read: {error}",
            remedy="Choose another version: vlmtool-cli models history PROJECT",
            path=folder / CARD,
        ) from error
    if not isinstance(card, dict):
        raise CorruptProjectError("expected a JSON object", path=folder / CARD)
    return card
