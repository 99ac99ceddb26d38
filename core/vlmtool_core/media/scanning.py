"""`scan`: walks folders, finds what can be opened, and groups DICOM slices to series."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlmtool_core.errors import MediaError, MediaNotFoundError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.media.base import Discovered
from vlmtool_core.media.budget import check_file
from vlmtool_core.media.opening import open_media
from vlmtool_core.media.readers import PluginReader, claims_media, identify
from vlmtool_core.media.sniffing import Signature
from vlmtool_core.records import ErrorInfo, MediaKind, natural_key


def scan(
    paths: Sequence[Path],
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Iterator[Discovered]:
    """Everything under `paths` that is or claims to be media, in natural order.

    Folders are walked recursively; hidden files and folders are left out, and so are files
    that neither by content nor by extension claim to be media. A file that cannot be opened
    is yielded with its error and `kind` None. Names are relative to the folder given, or to
    the common parent of several paths.

    Raises
    ------
    MediaNotFoundError : one of `paths` itself is not there
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
    for folder, files in _folders(roots):
        fresh = [file for file in files if file not in seen]
        seen.update(fresh)
        for item in _scan_folder(folder, fresh, base, meter, cancel):
            yield _with_unique_name(item, names)
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


def _folders(roots: Sequence[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Folders with the files of theirs to look at, depth first in natural order."""
    singles: dict[Path, list[Path]] = {}
    for root in roots:
        if root.is_dir():
            yield from _walk(root)
        else:
            singles.setdefault(root.parent, []).append(root)
    yield from singles.items()


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    try:
        entries = sorted(os.scandir(root), key=lambda entry: natural_key(entry.name))
    except OSError:
        # Shown as one unreadable entry: what lies in it cannot be known.
        yield root, [root]
        return
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    yield root, [Path(entry.path) for entry in entries if not entry.is_dir()]
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and entry.name != "__MACOSX":
            yield from _walk(Path(entry.path))


def _scan_folder(
    folder: Path, files: Sequence[Path], base: Path, meter: ProgressMeter, cancel: CancelToken
) -> Iterator[Discovered]:
    dicom: list[Path] = []
    items: list[tuple[Path, Discovered]] = []
    for file in files:
        cancel.check()
        meter.step(message=folder.name)
        signature = _signature(file)
        if isinstance(signature, ErrorInfo):
            items.append((file, Discovered(file, _name(file, base), None, error=signature)))
        elif signature is Signature.DICOM:
            dicom.append(file)
        elif signature is not Signature.NONE or claims_media(file):
            items.append((file, _probe(file, base)))
    items += _scan_dicom(folder, dicom, base, cancel)
    for _, item in sorted(items, key=lambda pair: natural_key(str(pair[0]))):
        yield item


def _signature(file: Path) -> Signature | PluginReader | ErrorInfo:
    """What the file is; an error only if it claims by its name to be media, or is unreadable."""
    if file.is_dir():
        unreadable = MediaNotFoundError("Permission denied: the folder cannot be read", path=file)
        return ErrorInfo.from_exception(unreadable)
    try:
        check_file(file)
        return identify(file)
    except MediaError as error:
        unknowable = isinstance(error, MediaNotFoundError) and not file.suffix
        tell = unknowable or claims_media(file)
        return ErrorInfo.from_exception(error) if tell else Signature.NONE


def _probe(file: Path, base: Path) -> Discovered:
    """Open the header, so that what cannot be opened is known now."""
    name = _name(file, base)
    try:
        with open_media(file) as source:
            return Discovered(file, name, source.info.kind)
    except MediaError as error:
        return Discovered(file, name, None, error=ErrorInfo.from_exception(error))


def _scan_dicom(
    folder: Path, files: Sequence[Path], base: Path, cancel: CancelToken
) -> list[tuple[Path, Discovered]]:
    if not files:
        return []
    from vlmtool_core.media.dicom.header import is_dicomdir, read_header, require_pixels
    from vlmtool_core.media.dicom.series import order
    from vlmtool_core.media.dicom.slices import Slice, skimmed_slice, slice_of
    from vlmtool_core.media.dicom.splitting import split

    items: list[tuple[Path, Discovered]] = []
    slices: list[Slice] = []
    for file in files:
        cancel.check()
        try:
            found_quickly = skimmed_slice(file)
            if found_quickly is not None:
                slices.append(found_quickly)
                continue
            header = read_header(file)
            if is_dicomdir(header):
                continue
            require_pixels(header)
            slices.append(slice_of(file, header.dataset))
        except MediaError as error:
            info = ErrorInfo.from_exception(error)
            items.append((file, Discovered(file, _name(file, base), None, error=info)))
    found = split(slices)
    several = len({stack.series for stack in found if stack.series}) > 1
    for stack in found:
        first = min((item.path for item in stack.slices), key=lambda path: natural_key(str(path)))
        if len(stack.slices) == 1:
            items.append((first, _probe(first, base)))
            continue
        name = _name(folder, base)
        if several or stack.label:
            name += f"#{stack.series}" + (f" ({stack.label})" if stack.label else "")
        series = tuple(item.path for item in order(stack.slices))
        items.append((first, Discovered(folder, name, MediaKind.DICOM, series)))
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
