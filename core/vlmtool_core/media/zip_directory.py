"""Reads the directory of a zip archive, and refuses what is dangerous before inflating anything."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, MediaNotFoundError
from vlmtool_core.media.budget import current_budget

MOST_ENTRIES = 200_000
MOST_DIRECTORY_BYTES = 128_000_000
# Deflate reaches 1032:1 on nothing but zeros; empty slices come near it, so size counts, too.
MOST_RATIO = 250
SUSPECT_BYTES = 1_000_000_000
_LONGEST_COMMENT = 0xFFFF
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OTHER_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_ENCRYPTED = 0x1
_BOMB_REMEDY = "Do not open this archive, unless you made it yourself: then unpack it by hand."


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: index in its directory, sizes and place in bytes."""

    name: str
    index: int
    size: int
    packed: int
    offset: int
    crc: int
    method: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that is not opened, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Directory:
    """raw : the sizes, places and checksums of all entries, as one text to tell it by."""

    members: dict[str, Member]
    refused: tuple[Refused, ...]
    raw: bytes


def read_directory(path: Path) -> Directory:
    """What an archive holds.

    Raises
    ------
    MediaNotFoundError : it cannot be read
    DamagedMediaError : it is no zip archive, truncated, or in several volumes
    BudgetExceededError : it has too many entries, or inflates to more than is allowed
    """
    try:
        with path.open("rb") as file:
            count, length = _end_record(file, path)
            if count > MOST_ENTRIES or length > MOST_DIRECTORY_BYTES:
                raise BudgetExceededError(
                    f"the archive has {count} entries, {MOST_ENTRIES} are allowed",
                    path=path,
                    remedy=_BOMB_REMEDY,
                )
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
            total = file.seek(0, 2)
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise DamagedMediaError(f"no readable zip archive ({error})", path=path) from error
    _check_total(entries, total, path)
    return _sorted_out(entries)


def _end_record(file: BinaryIO, path: Path) -> tuple[int, int]:
    """Number of entries and bytes of the directory (APPNOTE.TXT 4.3.14 to 4.3.16)."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_COMMENT - 22 - 20))
    tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + 22:
        raise DamagedMediaError(
            "the zip archive is cut off: its directory at the end is not there", path=path
        )
    count, length = struct.unpack_from("<HI", tail, place + 10)
    if tail[place - 20 : place - 16] == _LOCATOR_64 and place >= 20:
        file.seek(struct.unpack_from("<Q", tail, place - 12)[0])
        record = file.read(56)
        if record[:4] == _END_64 and len(record) == 56:
            count, length = struct.unpack_from("<QQ", record, 32)
    return count, length


def _check_total(entries: Iterable[zipfile.ZipInfo], archive_bytes: int, path: Path) -> None:
    """Refuse what inflates to too much, judging by what the directory says."""
    from vlmtool_core.settings import load_settings

    files = [entry for entry in entries if not entry.is_dir()]
    inflated = sum(entry.file_size for entry in files)
    packed = sum(entry.compress_size for entry in files)
    most = load_settings().max_archive_mb * 1_000_000
    if inflated > most:
        raise BudgetExceededError(
            f"the archive inflates to {inflated / 1e6:.0f} MB, the limit max_archive_mb is "
            f"{most / 1e6:.0f} MB",
            path=path,
            field="max_archive_mb",
        )
    if packed > archive_bytes:
        raise BudgetExceededError(
            "the files of the archive overlap: it is a zip bomb", path=path, remedy=_BOMB_REMEDY
        )
    if inflated > SUSPECT_BYTES and inflated > MOST_RATIO * max(packed, 1):
        raise BudgetExceededError(
            f"the archive inflates to {inflated / max(packed, 1):.0f} times its size "
            f"({inflated / 1e6:.0f} MB), as zip bombs do",
            path=path,
            remedy=_BOMB_REMEDY,
        )


def _sorted_out(entries: Iterable[zipfile.ZipInfo]) -> Directory:
    members: dict[str, Member] = {}
    refused: list[Refused] = []
    raw: list[str] = []
    for index, entry in enumerate(entries):
        if entry.is_dir():
            continue
        name = entry.filename.replace("\\", "/")
        raw.append(f"{entry.header_offset} {entry.compress_size} {entry.file_size} {entry.CRC}")
        reason = _refusal(entry, name) or ("its name is there twice" if name in members else "")
        if reason:
            refused.append(Refused(name, reason))
            continue
        members[name] = Member(
            name,
            index,
            entry.file_size,
            entry.compress_size,
            entry.header_offset,
            entry.CRC,
            entry.compress_type,
        )
    return Directory(members, tuple(refused), "\n".join(raw).encode())


def is_plain(name: str) -> bool:
    """Whether a name stays within the archive, on every system."""
    parts = name.split("/")
    return not (any(part in ("", ".", "..") for part in parts) or ":" in parts[0] or "\0" in name)


def _refusal(entry: zipfile.ZipInfo, name: str) -> str:
    """Why an entry is not opened, "" when it may be."""
    if not is_plain(name):
        return "its name leads out of the archive"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "it is a link"
    if entry.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if entry.compress_type not in _METHODS:
        method = _OTHER_METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        return f"its compression ({method}) is not supported"
    most = current_budget().max_file_bytes
    if entry.file_size > most:
        return f"it has {entry.file_size / 1e6:.0f} MB, max_file_mb is {most / 1e6:.0f} MB"
    return ""
