"""What the project facade returns beside the store's records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.media import Discovered
from vlmtool_core.store.records import StoreCounts


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project at a glance.

    revision : of its database; size_bytes : of the database file
    items : how many of each kind there are (image, dicom, video, volume, unreadable)
    """

    name: str
    root: Path
    read_only: bool
    revision: str
    size_bytes: int
    counts: StoreCounts
    items: Mapping[str, int]
    labels: tuple[str, ...]
    active_version: int | None
    backups: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class AddReport:
    """What adding files came to, in numbers of items.

    duplicates : (name, name of the item with the same content); both stay items
    refound : files that had moved and were recognised by their content
    changed : names of items whose file has other content than when it was taken in
    """

    added: int = 0
    unchanged: int = 0
    refound: int = 0
    duplicates: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[Discovered, ...] = ()
    changed: tuple[str, ...] = ()
