"""What there is to look at below the paths that a user names, a folder at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmtool_core.errors import MediaError, UnsupportedMediaError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media.archives import Archive, open_archive
from vlmtool_core.media.readers import PluginReader, claims_media, identify
from vlmtool_core.media.sniffing import Signature
from vlmtool_core.media.walking import is_hidden, walk
from vlmtool_core.media.zip_directory import Refused, is_plain
from vlmtool_core.records import natural_key

_ARCHIVE_SUFFIX = ".zip"


@dataclass(frozen=True)
class Lot:
    """Files whose DICOM slices may make up series together.

    refused : what is known to be there and cannot be looked at
    archive : what the files lie in, None for those of a folder
    named : the archive or DICOMDIR that a user named, which must not be empty in silence
    """

    files: Sequence[Path]
    refused: Sequence[tuple[Path, MediaError]] = field(default=())
    archive: Archive | None = None
    named: Path | None = None

    def name_of(self, file: Path) -> str:
        """Its name within the archive."""
        assert self.archive is not None
        return file.relative_to(self.archive.path).as_posix()


def lots(roots: Sequence[Path], cancel: CancelToken) -> Iterator[Lot]:
    """Folders to the bottom, then the single files; archives and DICOMDIRs are opened.

    Raises
    ------
    CancelledError
    """
    singles: dict[Path, list[Path]] = defaultdict(list)
    for root in roots:
        if root.is_dir():
            for _, files in walk(root, cancel):
                yield Lot(files)
            continue
        kind = _kind(root)
        if kind is Signature.ARCHIVE:
            yield from _in_archive(root)
        elif kind is Signature.DICOMDIR:
            yield _listed(root)
        else:
            singles[root.parent].append(root)
    for files in singles.values():
        yield Lot(files)


def _kind(file: Path) -> Signature | PluginReader:
    try:
        return identify(file) if file.is_file() else Signature.NONE
    except MediaError:
        return Signature.NONE  # told when it is looked at


def _listed(path: Path) -> Lot:
    from vlmtool_core.media.dicom.dicomdir import listed_files

    try:
        found = listed_files(path)
    except MediaError as error:
        return Lot((), [(path, error)])
    return Lot(found.files, found.lost, named=path)


def _in_archive(path: Path) -> Iterator[Lot]:
    """One lot for each folder of the archive; what is not opened is told by its reason."""
    try:
        archive = open_archive(path)
    except MediaError as error:
        yield Lot((), [(path, error)])
        return
    folders: dict[str, list[Path]] = defaultdict(list)
    refused = list(archive.refused)
    for name in archive.members:
        if any(is_hidden(part) for part in name.split("/")):
            continue
        if _is_archive(name):
            refused.append(Refused(name, "archives in an archive are not opened"))
        else:
            folders[name.rpartition("/")[0]].append(path / name)
    told = _told(archive, refused, everything=not folders)
    yield Lot((), told, named=path)
    for folder in sorted(folders, key=natural_key):
        files = sorted(folders[folder], key=lambda file: natural_key(file.name))
        yield Lot(files, archive=archive, named=path)


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVE_SUFFIX)


def _told(
    archive: Archive, refused: Sequence[Refused], *, everything: bool
) -> list[tuple[Path, MediaError]]:
    """One error per reason; names that claim nothing are passed over, as they are in a folder."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for entry in refused:
        name = Path(entry.name)
        claims = claims_media(name) or name.suffix.lower() in ("", _ARCHIVE_SUFFIX)
        if claims or everything:
            reasons[entry.reason].append(entry.name)
    found = []
    for reason, names in sorted(reasons.items()):
        # A place of its own, where the name is one: so it is known again when it is added again.
        opened = names[0] in archive.members and not _is_archive(names[0])
        own = is_plain(names[0]) and not opened
        where = archive.path / names[0] if own else archive.path
        found.append((where, _refusal(where, reason, names)))
    return found


def _refusal(path: Path, reason: str, names: Sequence[str]) -> MediaError:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return UnsupportedMediaError(
        f"{names[0]}{more} in the archive: not opened, {reason}",
        path=path,
        remedy="Unpack the archive, with its password where it has one, and open the folder.",
    )
