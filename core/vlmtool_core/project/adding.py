"""Taking files into a project: recognised by content, referenced, never copied or changed.

What was read is written in small transactions, so a kill loses at most the last of them and a
second call goes on where the first one stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import CancelledError, MediaError, MediaNotFoundError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter
from vlmtool_core.media import Discovered, MediaInfo, open_media, scan
from vlmtool_core.media.archives import stamp_of
from vlmtool_core.media.hashing import sha256_of_item
from vlmtool_core.project.catalogue import Catalogue
from vlmtool_core.project.grouping import Grouping, grouping
from vlmtool_core.project.records import AddReport
from vlmtool_core.records import ErrorInfo
from vlmtool_core.store.records import KnownItem, NewItem

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project

log = logging.getLogger(__name__)

CHUNK = 64  # items in one transaction
THREADS = 4  # hashing waits for the disk and lets other threads run


@dataclass
class _Tally:
    added: int = 0
    unchanged: int = 0
    refound: int = 0


@dataclass(frozen=True)
class _Read:
    """A discovered item, and what reading it gave; `info` is None when it was not opened."""

    found: Discovered
    item: NewItem
    info: MediaInfo | None
    unchanged: bool = False


def add_paths(
    project: Project,
    paths: Sequence[Path],
    group_by: str | None,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> AddReport:
    """See `Project.add`."""
    adding = _Adding(project, grouping(group_by), regroup=group_by is not None)
    meter = ProgressMeter(progress)
    found = _found(paths, cancel)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="add") as pool:
        try:
            for chunk in _chunks(found):
                cancel.check()
                adding.write(list(pool.map(adding.read, chunk)))
                failed = sum(entry.error is not None for entry in chunk)
                meter.step(len(chunk), failed=failed, message=chunk[-1].name)
        except CancelledError:
            adding.finish(cancelled=True)
            raise
    meter.flush()
    return adding.finish()


def _found(paths: Sequence[Path], cancel: CancelToken) -> Iterator[Discovered]:
    """Names relative to each folder given; files given one by one are looked at together."""
    for path in paths:
        if not os.path.lexists(path):
            raise MediaNotFoundError("no such file or folder", path=path)
    folders = [[path] for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    seen: set[Path] = set()
    for roots in [*folders, files] if files else folders:
        for found in scan(roots, cancel=cancel):
            parts = found.files or (found.path,)
            if seen.isdisjoint(parts):
                yield found
            seen.update(parts)


def _chunks(found: Iterator[Discovered]) -> Iterator[list[Discovered]]:
    while chunk := list(islice(found, CHUNK)):
        yield chunk


class _Adding:
    """One call of `add`: reads in threads, decides and writes in the caller's."""

    def __init__(self, project: Project, group: Grouping, *, regroup: bool) -> None:
        self._project = project
        self._items = project.store.items
        self._group = group
        self._regroup = regroup
        self._catalogue = Catalogue(self._items.known())
        self._tally = _Tally()
        self._duplicates: list[tuple[str, str]] = []
        self._unreadable: list[Discovered] = []
        self._changed: list[str] = []

    def read(self, found: Discovered) -> _Read:
        """Hash and open one item; a failure becomes its error. Runs in a thread."""
        found = _printable(found)
        if found.error is not None:
            return _Read(found, _unreadable(found), None)
        try:
            stamp = _stamp(found)
            known = self._catalogue.at(found)
            if known is not None and known.readable and known.stamp == stamp:
                return self._unchanged(found, known.name)
            with open_media(found.path, found.files) as source:
                info = source.info
            sha256 = sha256_of_item(found.path, found.files)
        except Exception as error:
            # A decoder may fail in any way on a hostile file; the rest must go on.
            if not isinstance(error, MediaError):
                log.exception("cannot read %s", found.path)
            failed = replace(found, kind=None, error=ErrorInfo.from_exception(error))
            return _Read(failed, _unreadable(failed), None)
        return _Read(found, _readable(found, info, sha256, stamp), info)

    def _unchanged(self, found: Discovered, name: str) -> _Read:
        info = None
        if self._regroup:
            with open_media(found.path, found.files) as source:
                info = source.info
        return _Read(found, NewItem(name, found.path, found.kind), info, unchanged=True)

    def write(self, batch: Sequence[_Read]) -> None:
        """Write a batch in one transaction, deciding anew if another program wrote meanwhile."""
        while True:
            plan = _Plan(self._catalogue, self._group, regroup=self._regroup)
            for entry in batch:
                plan.place(entry)
            ids = self._items.take_in(plan.new, plan.changed, last_id=self._catalogue.last_id)
            if ids is not None:
                break
            self._catalogue = Catalogue(self._items.known())
        if self._regroup and plan.regrouped:
            self._items.set_groups(plan.regrouped)
        self._catalogue.learn(plan.changed)
        self._catalogue.learn(list(zip(ids, plan.new, strict=True)))
        self._count(plan)

    def _count(self, plan: _Plan) -> None:
        self._tally.added += plan.added
        self._tally.unchanged += plan.unchanged
        self._tally.refound += plan.refound
        self._duplicates += plan.duplicates
        self._unreadable += plan.unreadable
        self._changed += plan.content_changed

    def finish(self, *, cancelled: bool = False) -> AddReport:
        tally = self._tally
        report = AddReport(
            tally.added,
            tally.unchanged,
            tally.refound,
            tuple(self._duplicates),
            tuple(self._unreadable),
            tuple(self._changed),
        )
        facts = {
            "added": report.added,
            "refound": report.refound,
            "unreadable": len(report.unreadable),
            "changed": list(report.changed),
            "cancelled": cancelled,
        }
        self._project.store.audit.append("items.added", facts)
        return report


class _Plan:
    """What a batch comes to, given what is known: new rows and rows to overwrite."""

    def __init__(self, catalogue: Catalogue, group: Grouping, *, regroup: bool) -> None:
        self._catalogue = catalogue
        self._group = group
        self._regroup = regroup
        self._names: set[str] = set()
        self._moved: set[int] = set()
        self._claimed: set[int] = set()
        self._shas: dict[str, str] = {}
        self.new: list[NewItem] = []
        self.changed: list[tuple[int, NewItem]] = []
        self.added = self.unchanged = self.refound = 0
        self.duplicates: list[tuple[str, str]] = []
        self.unreadable: list[Discovered] = []
        self.content_changed: list[str] = []
        self.regrouped: dict[int, str] = {}

    def place(self, entry: _Read) -> None:
        known = self._catalogue.at(entry.found)
        if known is not None and known.id in self._claimed:
            known = None  # the item was split: its first part keeps its name
        if known is not None:
            self._claimed.add(known.id)
        if entry.unchanged and known is not None:
            self.unchanged += 1
            self.regrouped[known.id] = self._group(known.name, entry.found, entry.info)
        elif known is not None:
            self._overwrite(entry, known.id, known.name)
        else:
            self._take_in(entry)

    def _overwrite(self, entry: _Read, item_id: int, name: str) -> None:
        known = self._catalogue.by_id(item_id)
        item = self._grouped(replace(entry.item, name=name), entry, known)
        if item.kind is None:
            self.unreadable.append(replace(entry.found, name=name))
            # The hash stays, so that the item is recognised when its file is whole again.
            item = replace(item, sha256=known.sha256, group=known.group)
        elif not known.readable and not known.sha256:
            self.added += 1
        elif known.sha256 != item.sha256:
            self.content_changed.append(name)
        else:
            self.unchanged += 1
        self.changed.append((item_id, item))

    def _take_in(self, entry: _Read) -> None:
        item = entry.item
        if item.kind is not None:
            lost = self._catalogue.lost(item.sha256, besides=self._moved)
            if lost is not None:
                self._moved.add(lost.id)
                self.refound += 1
                name = item.name if item.name == lost.name else self._free(item)
                self._names.add(name)
                item = self._grouped(replace(item, name=name), entry, lost)
                self.changed.append((lost.id, item))
                return
            self.added += 1
        item = self._grouped(replace(item, name=self._free(item)), entry, None)
        self._names.add(item.name)
        if item.kind is None:
            self.unreadable.append(replace(entry.found, name=item.name))
        else:
            same_as = self._catalogue.name_of(item.sha256) or self._shas.get(item.sha256)
            if same_as is not None:
                self.duplicates.append((item.name, same_as))
            self._shas.setdefault(item.sha256, item.name)
        self.new.append(item)

    def _grouped(self, item: NewItem, entry: _Read, known: KnownItem | None) -> NewItem:
        """An item stays in the group that it has, unless this call asks for another."""
        if known is not None and known.group and not self._regroup:
            return replace(item, group=known.group)
        return replace(item, group=self._group(item.name, entry.found, entry.info))

    def _free(self, item: NewItem) -> str:
        """The name, with as many parent folders in front as it takes to be unique."""
        name = item.name
        parts = [part for part in item.path.parts if part != item.path.anchor]
        depth = name.count("/") + 1
        for start in range(len(parts) - depth, -1, -1):
            if self._is_free(name):
                return name
            name = "/".join([*parts[start : len(parts) - depth], item.name])
        number = 1
        base = name
        while not self._is_free(name):
            number += 1
            name = f"{base}~{number}"
        return name

    def _is_free(self, name: str) -> bool:
        return name not in self._names and not self._catalogue.has_name(name)


def _stamp(found: Discovered) -> tuple[int, int]:
    """(bytes, newest modification time in ns) over the files of an item."""
    try:
        stamps = [stamp_of(file) for file in found.files or (found.path,)]
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=found.path) from error
    return sum(size for size, _ in stamps), max(modified_ns for _, modified_ns in stamps)


def _readable(found: Discovered, info: MediaInfo, sha256: str, stamp: tuple[int, int]) -> NewItem:
    return NewItem(
        name=found.name,
        path=found.path,
        kind=info.kind,
        sha256=sha256,
        files=found.files,
        width=info.width,
        height=info.height,
        frame_count=info.frame_count,
        duration_s=info.duration_s,
        stamp=stamp,
    )


def _unreadable(found: Discovered) -> NewItem:
    return NewItem(found.name, found.path, None, files=found.files, error=found.error)


def _printable(found: Discovered) -> Discovered:
    """A name that is no valid Unicode cannot be stored: such a file is listed with that reason."""
    try:
        f"{found.path}{found.name}".encode()
    except UnicodeEncodeError:
        shown = os.fsencode(found.name).decode("utf-8", "backslashreplace")
        path = os.fsencode(found.path).decode("utf-8", "backslashreplace")
        error = MediaNotFoundError(
            "the name of the file is not valid UTF-8", path=path, remedy="Rename the file."
        )
        return Discovered(Path(path), shown, None, error=ErrorInfo.from_exception(error))
    return found
