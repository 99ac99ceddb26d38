"""`scan`: walks folders, finds what can be opened, and groups DICOM slices to series."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import MediaError, MediaNotFoundError, UnsupportedMediaError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.media.base import Discovered
from vlmtool_core.media.budget import check_file
from vlmtool_core.media.lots import Lot, lots
from vlmtool_core.media.opening import open_media
from vlmtool_core.media.readers import PluginReader, claims_media, identify
from vlmtool_core.media.sniffing import HEAD_BYTES, Signature
from vlmtool_core.records import ErrorInfo, MediaKind, natural_key

if TYPE_CHECKING:
    from vlmtool_core.media.dicom.slices import Slice


def scan(
    paths: Sequence[Path],
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Iterator[Discovered]:
    """Everything under `paths` that is or claims to be media, in natural order.

    Folders are walked recursively; hidden files and folders are left out, and so are files
    that neither by content nor by extension claim to be media, and archives. A zip archive or
    a DICOMDIR that is itself one of `paths` is opened: the first gives the files in it, the
    second those that it lists. A file that cannot be opened is yielded with its error and
    `kind` None. Names are relative to the folder given, or to the common parent of several
    paths.

    Raises
    ------
    MediaNotFoundError : one of `paths` itself is not there
    StorageError : there is no room to inflate an archive
    CancelledError
    """
    cancel = cancel or CancelToken()
    roots = [Path(path).absolute() for path in paths]
    for root in roots:
        if not os.path.lexists(root):
            raise MediaNotFoundError("no such file or folder", path=root)
    base = _base(roots)
    meter = ProgressMeter(progress)
    names: set[str] = set()
    seen: set[Path] = set()
    empty: dict[Path, None] = {}
    for lot in lots(roots, cancel):
        if lot.named is not None and lot.named not in seen:
            seen.add(lot.named)
            empty[lot.named] = None
        fresh = [file for file in lot.files if file not in seen]
        seen.update(fresh)
        for item in _scan_lot(replace(lot, files=fresh), base, meter, cancel):
            empty.pop(lot.named or item.path, None)
            yield _with_unique_name(item, names)
    for path in empty:
        yield _with_unique_name(_failed(path, base, _nothing_in(path)), names)
    meter.flush()


def _base(roots: Sequence[Path]) -> Path:
    """What names are relative to."""
    if len(roots) == 1:
        return roots[0] if roots[0].is_dir() else roots[0].parent
    parents = [root if root.is_dir() else root.parent for root in roots]
    try:
        common = Path(os.path.commonpath(parents)) if parents else Path.cwd()
    except ValueError:  # different drives
        return Path(roots[0].anchor)
    # A folder given beside others keeps its own name in front, so that names stay distinct.
    return common


def _scan_lot(
    lot: Lot, base: Path, meter: ProgressMeter, cancel: CancelToken
) -> Iterator[Discovered]:
    dicom: list[Path] = []
    items = [(path, _failed(path, base, error)) for path, error in lot.refused]
    for file in lot.files:
        cancel.check()
        meter.step(message=file.parent.name)
        try:
            signature = _signature(lot, file)
        except MediaError as error:
            if _is_told(file, error):
                items.append((file, _failed(file, base, error)))
            continue
        if signature is Signature.DICOM:
            dicom.append(file)
        elif signature is Signature.DICOMDIR:
            continue  # what it lists is found without it
        elif signature not in (Signature.NONE, Signature.ARCHIVE) or claims_media(file):
            items.append((file, _probe(file, base)))
    items += _scan_dicom(lot, dicom, base, cancel)
    for _, item in sorted(items, key=lambda pair: natural_key(str(pair[0]))):
        yield item


def _signature(lot: Lot, file: Path) -> Signature | PluginReader:
    """What the file is.

    Raises
    ------
    MediaError
    """
    if lot.archive is not None:
        if lot.archive.members[lot.name_of(file)].size == 0:
            return Signature.NONE
        return identify(file, lot.archive.head(lot.name_of(file), HEAD_BYTES))
    if file.is_dir():
        raise MediaNotFoundError("Permission denied: the folder cannot be read", path=file)
    check_file(file)
    return identify(file)


def _is_told(file: Path, error: MediaError) -> bool:
    """Whether a file claims by its name to be media, or cannot be looked at."""
    unknowable = isinstance(error, MediaNotFoundError) and not file.suffix
    return unknowable or file.is_dir() or claims_media(file)


def _nothing_in(path: Path) -> MediaError:
    return UnsupportedMediaError(
        "it holds no picture, DICOM or video",
        path=path,
        remedy="Look into it with the program that made it.",
    )


def _failed(path: Path, base: Path, error: MediaError) -> Discovered:
    return Discovered(path, _name(path, base), None, error=ErrorInfo.from_exception(error))


def _probe(file: Path, base: Path) -> Discovered:
    """Open the header, so that what cannot be opened is known now."""
    name = _name(file, base)
    try:
        with open_media(file) as source:
            return Discovered(file, name, source.info.kind)
    except MediaError as error:
        return _failed(file, base, error)


def _scan_dicom(
    lot: Lot, files: Sequence[Path], base: Path, cancel: CancelToken
) -> list[tuple[Path, Discovered]]:
    if not files:
        return []
    from vlmtool_core.media.dicom.slices import read_slice

    items: list[tuple[Path, Discovered]] = []
    slices: list[Slice] = []
    for file in files:
        cancel.check()
        try:
            inflated = lot.archive and lot.archive.extract(lot.name_of(file), cancel)
            slices.append(replace(read_slice(inflated or file), path=file))
        except MediaError as error:
            error.path = str(file)
            document = error.field == "EncapsulatedDocument"  # a PDF has pages, others say why not
            items.append((file, _probe(file, base) if document else _failed(file, base, error)))
    return items + _series(slices, base)


def _series(slices: Sequence[Slice], base: Path) -> list[tuple[Path, Discovered]]:
    """Items called after the folder that their slices lie in."""
    from vlmtool_core.media.dicom.series import order
    from vlmtool_core.media.dicom.splitting import Stack, split
    from vlmtool_core.media.dicom.whole_slide import slide_series

    slides, slices = slide_series(slices)
    found = split(slices)
    taken = max((stack.series for stack in found), default=0)
    found += [Stack(tuple(levels), taken + n) for n, levels in enumerate(slides, 1)]
    homes = [Path(os.path.commonpath([i.path.parent for i in stack.slices])) for stack in found]
    counts: dict[Path, dict[int, int]] = defaultdict(dict)
    for stack, home in zip(found, homes, strict=True):
        if stack.series:
            counts[home].setdefault(stack.series, len(counts[home]) + 1)
    items = []
    for stack, home in zip(found, homes, strict=True):
        first = min((item.path for item in stack.slices), key=lambda path: natural_key(str(path)))
        if len(stack.slices) == 1:
            items.append((first, _probe(first, base)))
            continue
        name = _name(home, base)
        if len(counts[home]) > 1 or stack.label:
            number = counts[home][stack.series]
            name += f"#{number}" + (f" ({stack.label})" if stack.label else "")
        files = tuple(item.path for item in order(stack.slices))
        items.append((first, Discovered(home, name, MediaKind.DICOM, files)))
    return items


def _name(path: Path, base: Path) -> str:
    try:
        relative = path.relative_to(base).as_posix()
    except ValueError:
        relative = path.as_posix().lstrip("/")
    # A series that fills the scanned folder itself is called after that folder.
    return base.name or "series" if relative == "." else relative


def _with_unique_name(item: Discovered, names: set[str]) -> Discovered:
    name, number = item.name, 1
    while name in names:
        number += 1
        name = f"{item.name}~{number}"
    names.add(name)
    if name == item.name:
        return item
    return Discovered(item.path, name, item.kind, item.files, item.error)
