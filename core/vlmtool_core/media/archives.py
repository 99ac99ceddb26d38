"""Zip archives: their files are opened under a path of their own, and inflated once to the cache.

A file `a/b.dcm` in `X.zip` has the path `X.zip/a/b.dcm`, which projects keep. `located` gives the
file to read: it is inflated when it is first asked for, and again after the cache was cleared.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from vlmtool_core import paths
from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaNotFoundError,
    StorageError,
)
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media.sniffing import Signature, read_head, sniff
from vlmtool_core.media.zip_directory import Member, Refused, read_directory

CHUNK = 1 << 20
SPARE_BYTES = 200_000_000  # left free on the disk
UNUSED_DAYS = 30
_LOCAL_HEADER = b"PK\x03\x04"
_DEFLATED = 8


@dataclass(frozen=True)
class Archive:
    """A zip archive whose directory was read and found harmless.

    members : what can be opened, by its path in the archive (posix)
    refused : what cannot, with the reason
    folder : where its files are inflated to
    """

    path: Path
    members: dict[str, Member]
    refused: tuple[Refused, ...]
    modified_ns: int
    folder: Path
    _whole: dict[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of a member, without writing anything.

        Raises
        ------
        DamagedMediaError, MediaNotFoundError
        """
        found = b""
        for part in self._inflated(self._member(name), CancelToken(), piece=count):
            found += part
            if len(found) >= count:
                break
        return found[:count]

    def extract(self, name: str, cancel: CancelToken | None = None) -> Path:
        """The file of a member, inflated now if it is not there whole.

        Raises
        ------
        DamagedMediaError : its data do not fit what the directory says
        MediaNotFoundError : the archive no longer holds it
        StorageError : the disk is full or read-only
        CancelledError
        """
        member = self._member(name)
        target = self.folder / f"{member.index:06d}-{_plain(name)}"
        with self._lock:
            if not self._is_whole(target, member):
                self._write(target, member, cancel or CancelToken())
                self._remember(target, member)
        return target

    def _member(self, name: str) -> Member:
        member = self.members.get(name)
        if member is None:
            why = next((entry.reason for entry in self.refused if entry.name == name), None)
            raise MediaNotFoundError(why or "the archive holds no such file", path=self.path / name)
        return member

    def _is_whole(self, target: Path, member: Member) -> bool:
        """Whether the inflated file is what the directory says; read in full once a process."""
        try:
            found = target.stat()
            if found.st_size != member.size:
                return False
            if self._whole.get(member.name) == (found.st_size, found.st_mtime_ns):
                return True
            crc = 0
            with target.open("rb") as file:
                while part := file.read(CHUNK):
                    crc = zlib.crc32(part, crc)
        except OSError:
            return False
        if crc == member.crc:
            self._remember(target, member)
        return crc == member.crc

    def _remember(self, target: Path, member: Member) -> None:
        found = target.stat()
        self._whole[member.name] = (found.st_size, found.st_mtime_ns)

    def _write(self, target: Path, member: Member, cancel: CancelToken) -> None:
        """Under another name first: a kill leaves nothing that looks whole."""
        temporary: Path | None = None
        try:
            # Patients' pictures: for nobody but this user.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_room(self.folder, member.size)
            handle, made = tempfile.mkstemp(dir=self.folder, suffix=".part")
            temporary = Path(made)
            with os.fdopen(handle, "wb") as file:
                for part in self._inflated(member, cancel):
                    file.write(part)
            temporary.replace(target)
        except OSError as error:
            raise StorageError(error.strerror or str(error), path=target) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    def _inflated(self, member: Member, cancel: CancelToken, piece: int = CHUNK) -> Iterator[bytes]:
        """The member's bytes; no more than the directory says are ever inflated."""
        where = self.path / member.name
        try:
            source = self.path.open("rb")
        except OSError as error:
            raise MediaNotFoundError(error.strerror or str(error), path=self.path) from error
        total, crc = 0, 0
        with source:
            _to_data(source, member, where)
            parts = _inflate if member.method == _DEFLATED else _stored
            for part in parts(source, member, where, piece):
                cancel.check()
                total += len(part)
                crc = zlib.crc32(part, crc)
                if total > member.size:
                    raise BudgetExceededError(
                        f"inflates to more than the {member.size} bytes that its archive states",
                        path=where,
                        remedy="Do not open this archive: its directory lies.",
                    )
                yield part
        if total != member.size or crc != member.crc:
            raise DamagedMediaError("its data in the archive are damaged", path=where)


def _to_data(source: BinaryIO, member: Member, where: Path) -> None:
    source.seek(member.offset)
    head = source.read(30)
    if len(head) < 30 or not head.startswith(_LOCAL_HEADER):
        raise DamagedMediaError("the archive is damaged where this file begins", path=where)
    name, extra = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    source.seek(name + extra, os.SEEK_CUR)


def _stored(source: BinaryIO, member: Member, _where: Path, piece: int) -> Iterator[bytes]:
    left = member.packed
    while left and (part := source.read(min(piece, left))):
        left -= len(part)
        yield part


def _inflate(source: BinaryIO, member: Member, where: Path, piece: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for data in _stored(source, member, where, 1 << 16):
            part = inflater.decompress(data, piece)
            while part:
                yield part
                part = inflater.decompress(inflater.unconsumed_tail, piece)
    except zlib.error as error:
        raise DamagedMediaError(f"its data in the archive are damaged ({error})", path=where) from (
            error
        )


def open_archive(path: Path) -> Archive:
    """The archive's directory, checked; kept until the file changes.

    Raises
    ------
    MediaNotFoundError, DamagedMediaError
    BudgetExceededError : it is, or may be, a zip bomb
    """
    try:
        found = path.stat()
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error
    return _archive(path.absolute(), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=8)
def _archive(path: Path, size: int, modified_ns: int) -> Archive:
    directory = read_directory(path)
    key = hashlib.sha256(f"{path}\n{size}\n{modified_ns}\n".encode("utf-8", "surrogateescape"))
    key.update(directory.raw)
    folder = paths.cache_dir() / "archives" / key.hexdigest()[:32]
    _drop_unused(folder)
    return Archive(path, directory.members, directory.refused, modified_ns, folder)


def _drop_unused(folder: Path) -> None:
    """Mark this archive's folder as used, and remove what was not used for long."""
    oldest = time.time() - UNUSED_DAYS * 86400
    with suppress(OSError):
        os.utime(folder)
    with suppress(OSError):
        for other in folder.parent.iterdir():
            if other != folder and other.stat().st_mtime < oldest:
                shutil.rmtree(other, ignore_errors=True)
        for left in folder.glob("*.part"):
            if left.stat().st_mtime < time.time() - 3600:
                left.unlink(missing_ok=True)


def check_room(folder: Path, needed: int) -> None:
    """Refuse to fill the disk.

    Raises
    ------
    StorageError
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if needed + SPARE_BYTES > free:
        raise StorageError(
            f"inflating takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free", path=folder
        )


def _plain(name: str) -> str:
    """The file's own name as every file system takes it, its extension kept."""
    plain = re.sub(r"[^0-9A-Za-z_.-]+", "_", name.rpartition("/")[2])
    return plain[-60:]


def archived(path: Path) -> tuple[Archive, str] | None:
    """The archive that a path leads into, and the path within; None for an ordinary path.

    Raises
    ------
    MediaNotFoundError : the archive is gone
    DamagedMediaError, BudgetExceededError
    """
    if os.path.lexists(path):
        return None
    for parent in path.absolute().parents:
        if parent.is_file():
            if sniff(read_head(parent)) is not Signature.ARCHIVE:
                return None
            return open_archive(parent), path.absolute().relative_to(parent).as_posix()
        if parent.exists():
            return None
        if parent.suffix.lower() == ".zip":
            raise MediaNotFoundError(
                "the archive that holds this file is not there",
                path=parent,
                remedy="Put the archive back, or add it again from where it lies now.",
            )
    return None


def located(path: Path) -> Path:
    """The file to read for a path: itself, or what is inflated of an archive.

    Raises
    ------
    MediaError : the archive is gone, damaged or dangerous, or does not hold it
    StorageError : the disk is full
    """
    found = archived(path)
    return path if found is None else found[0].extract(found[1])


def is_there(path: Path) -> bool:
    """Whether a path leads to a file, in an archive or not."""
    try:
        found = archived(path)
    except (MediaNotFoundError, DamagedMediaError, BudgetExceededError):
        return False
    return os.path.lexists(path) if found is None else found[1] in found[0].members


def stamp_of(path: Path) -> tuple[int, int]:
    """Bytes, and modification time in ns: of the archive for what lies in one.

    Raises
    ------
    MediaError : it is not there
    OSError
    """
    found = archived(path)
    if found is None:
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    archive, name = found
    return archive._member(name).size, archive.modified_ns
