"""Reads which files a DICOMDIR lists (PS3.3 F.3), trusting none of its names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    MediaNotFoundError,
)
from vlmtool_core.media.dicom.header import is_multiple, read_header

MOST_RECORDS = 1_000_000
MOST_BYTES = 1_000_000_000
_MOST_PARTS = 64  # the standard allows 8


@dataclass(frozen=True)
class Listed:
    """The files that are there, in the order of the DICOMDIR, and those that are not."""

    files: tuple[Path, ...]
    lost: tuple[tuple[Path, MediaError], ...]


def listed_files(path: Path) -> Listed:
    """What the directory records of a DICOMDIR refer to.

    Names are compared without regard to case and to the version that ISO 9660 adds ("IM1;1").

    Raises
    ------
    DamagedMediaError, MediaNotFoundError, BudgetExceededError
    """
    if path.stat().st_size > MOST_BYTES:
        raise BudgetExceededError(f"a DICOMDIR of more than {MOST_BYTES} bytes", path=path)
    records = read_header(path).dataset.get("DirectoryRecordSequence")
    if records is None:
        raise DamagedMediaError("the DICOMDIR has no directory records", path=path)
    if len(records) > MOST_RECORDS:
        raise BudgetExceededError(
            f"the DICOMDIR has {len(records)} records, {MOST_RECORDS} are allowed", path=path
        )
    folders = _Folders(path.parent)
    files: dict[Path, None] = {}
    lost: dict[Path, MediaError] = {}
    for parts in _references(records):
        try:
            files[folders.find(parts)] = None
        except MediaError as error:
            lost.setdefault(path.parent / "/".join(parts).replace("\0", ""), error)
    return Listed(tuple(files), tuple(lost.items()))


def _references(records: Any) -> Iterator[tuple[str, ...]]:
    """Referenced File IDs of the records that are in use."""
    for record in records:
        value = record.get("ReferencedFileID")
        if not value or record.get("RecordInUseFlag", 0xFFFF) == 0:
            continue
        parts = [str(part) for part in (value if is_multiple(value) else [value])]
        yield tuple("/".join(parts).split("/"))  # some writers join the parts themselves


class _Folders:
    """Finds names below a folder as a medium's reader would; each folder is listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = root.resolve()
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, parts: tuple[str, ...]) -> Path:
        """The file; `MediaNotFoundError` says why there is none."""
        shown = self._root / "/".join(parts).replace("\0", "")
        if len(parts) > _MOST_PARTS or not all(_is_plain(part) for part in parts):
            raise MediaNotFoundError(
                "the DICOMDIR refers to a place outside its folder; it is not followed",
                path=shown,
                remedy="Do not trust this medium; add the folder instead, if you know it.",
            )
        found = self._root
        for part in parts:
            name = self._in(found).get(_folded(part))
            if name is None:
                raise MediaNotFoundError(
                    "listed in the DICOMDIR, but not there",
                    path=shown,
                    remedy="Copy the whole medium again.",
                )
            found = found / name
        if not found.resolve().is_relative_to(self._real):
            raise MediaNotFoundError(
                "a link leads out of the folder of the DICOMDIR; it is not followed", path=shown
            )
        return found

    def _in(self, folder: Path) -> dict[str, str]:
        """Names in a folder by how they compare; of those that compare equal, the first."""
        if folder not in self._names:
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208
            except OSError:
                names = []
            found: dict[str, str] = {}
            for name in names:
                found.setdefault(_folded(name), name)
            self._names[folder] = found
        return self._names[folder]


def _is_plain(part: str) -> bool:
    unwanted = part in ("", ".", "..") or any(sign in part for sign in "/\\:\0")
    return not unwanted


def _folded(name: str) -> str:
    """Case, an ISO 9660 version and the dot of an empty extension do not count."""
    stem, _, version = name.rpartition(";")
    plain = stem if stem and version.isdigit() else name
    return plain.rstrip(". ").casefold()
