"""Finds the one item that a path means: a file, a series, or what lies in an archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vlmtool_core.errors import MediaError, MediaNotFoundError, UnsupportedMediaError
from vlmtool_core.media.archives import archived, located
from vlmtool_core.media.base import Discovered
from vlmtool_core.media.readers import identify
from vlmtool_core.media.sniffing import Signature

_MOST_NAMED = 12
# What `scan` calls one of several series of a folder: "study#2 (kernel B70f)".
_SERIES = re.compile(r"(.+)#\d+( \([^()]*\))?")


def resolve(path: Path, files: Sequence[Path] = ()) -> tuple[Path, tuple[Path, ...]]:
    """The file to read, or the slices to read, for an item.

    path : a file; a folder, archive or DICOMDIR that holds one item; a file or series in an
        archive (`X.zip/a/b.dcm`); a series by the name that `scan` gives it
    files : the slices of a series, in order

    Raises
    ------
    MediaNotFoundError : there is nothing
    UnsupportedMediaError : there are several items
    DamagedMediaError, BudgetExceededError : the archive that it lies in cannot be trusted
    StorageError : there is no room to inflate it
    """
    if files:
        return path, tuple(located(file) for file in files)
    _check_reachable(path)
    if path.is_dir():
        return _only(path, [item for item in _scan(path) if item.files], "DICOM series")
    if path.is_file():
        if _holds_files(path):
            return _only(path, _scan(path), "pictures, DICOM or video")
        return path, ()
    inside = archived(path)
    if inside is None:
        return _series_called(path)
    archive, name = inside
    if name in archive.members or any(entry.name == name for entry in archive.refused):
        return located(path), ()
    wanted = path.absolute().relative_to(archive.path.parent).as_posix()
    found = [item for item in _scan(archive.path) if item.name == wanted]
    return _only(path, found, "such file or series")


def contents(path: Path) -> list[Discovered]:
    """What a folder, archive or DICOMDIR holds; nothing for whatever is one item by itself.

    Raises
    ------
    MediaNotFoundError : the system cannot look the path up
    StorageError : there is no room to inflate the archive
    """
    _check_reachable(path)
    holds = path.is_dir() or (path.is_file() and _holds_files(path))
    return _scan(path) if holds else []


@contextmanager
def named(path: Path, read: Path) -> Iterator[None]:
    """Errors tell `path` where they would tell the inflated file that was read for it."""
    try:
        yield
    except MediaError as error:
        if read != path and error.path == str(read):
            error.path = str(path)
        raise


def _scan(path: Path) -> list[Discovered]:
    from vlmtool_core.media.scanning import scan

    return list(scan([path]))


def _check_reachable(path: Path) -> None:
    """Refuse a name too long or a closed folder; what is not there is told when it is opened."""
    try:
        path.is_dir()
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error


def _holds_files(path: Path) -> bool:
    try:
        return identify(path) in (Signature.ARCHIVE, Signature.DICOMDIR)
    except MediaError:
        return False  # told when it is opened


def _series_called(path: Path) -> tuple[Path, tuple[Path, ...]]:
    parts = _SERIES.fullmatch(path.name)
    folder = path.parent / parts[1] if parts else None
    if folder is None or not folder.exists():
        return path, ()  # told when it is opened
    name = f"{folder.absolute().name}{path.name[len(folder.name) :]}"
    return _only(path, [item for item in _scan(folder) if item.name == name], "such series")


def _only(path: Path, found: Sequence[Discovered], what: str) -> tuple[Path, tuple[Path, ...]]:
    good = [item for item in found if item.error is None]
    if len(good) == 1:
        (item,) = good
        if item.files:
            return path, tuple(located(file) for file in item.files)
        return located(item.path), ()
    if not good and found and found[0].error is not None:
        first = found[0].error
        raise UnsupportedMediaError(
            first.message, path=first.path or path, remedy=first.remedy, field=first.field
        )
    if not good:
        raise MediaNotFoundError(
            f"it holds no {what}",
            path=path,
            remedy="Name a file, or a folder whose slices belong to one series.",
        )
    shown = ", ".join(
        item.name + (f" ({len(item.files)} slices)" if item.files else "")
        for item in good[:_MOST_NAMED]
    )
    more = f" and {len(good) - _MOST_NAMED} more" if len(good) > _MOST_NAMED else ""
    raise UnsupportedMediaError(
        f"it holds {len(good)} {what}: {shown}{more}",
        path=path,
        remedy=f"Name one of them: {path.parent / good[0].name}",
    )
