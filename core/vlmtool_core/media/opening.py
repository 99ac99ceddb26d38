"""`open_media`: chooses the source by content, never by extension, and where it is decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.base import MediaSource
from vlmtool_core.media.budget import check_file, current_budget
from vlmtool_core.media.containers import named, resolve
from vlmtool_core.media.readers import PluginReader, connector, identify
from vlmtool_core.media.sniffing import Signature
from vlmtool_core.media.volumes.nifti_magic import is_half_of_pair


def open_media(path: Path | str, files: Sequence[Path] = ()) -> MediaSource:
    """Open a picture, a DICOM object or series, a video, a volume, or what a plugin reads.

    path : a file; a folder that holds one DICOM series; a zip archive or DICOMDIR that holds one
        item; a file in an archive (`X.zip/a.png`), or a series by the name that `scan` gives it
    files : the slices of a DICOM series, in order; `path` is then the item they make up

    Raises
    ------
    MediaNotFoundError : it is not there or may not be read
    UnsupportedMediaError : it is nothing that can be shown, or holds several items
    DamagedMediaError : it is empty, truncated or contradicts its header
    BudgetExceededError : its header asks for more than the settings allow
    """
    given = Path(path)
    path, files = resolve(given, files)
    with named(given, path):
        budget = current_budget()
        for file in files or (path,):
            check_file(file, budget)
        found = Signature.DICOM if files else identify(path)
        connect = connector() if isinstance(found, PluginReader) else ""
        if _belongs_here(path, files, found, connect):
            return open_here(path, files)
        from vlmtool_core.media.safe.source import RemoteSource

        return RemoteSource(path, files, connect)


def open_here(path: Path, files: Sequence[Path] = ()) -> MediaSource:
    """Open a file, or the slices of a series, in this process; a worker does so.

    Raises
    ------
    MediaError
    """
    if files:
        from vlmtool_core.media.dicom.documents import open_object

        return open_object(path, tuple(files))
    found = identify(path)
    return found.open(path) if isinstance(found, PluginReader) else _open_file(path, found)


def _belongs_here(
    path: Path, files: Sequence[Path], found: Signature | PluginReader, connect: str
) -> bool:
    """Whether nothing is to be decoded, or a worker could not do it."""
    if os.environ.get("VLMTOOL_DECODE") == "here":
        return True
    if isinstance(found, PluginReader):
        return not connect
    if found is Signature.DICOM:
        from vlmtool_core.media.safe.plain import is_plain

        return is_plain(path, files)
    return found is Signature.NONE and not is_half_of_pair(path)


def _open_file(path: Path, signature: Signature) -> MediaSource:
    if signature is Signature.PICTURE:
        from vlmtool_core.media.pictures.choosing import open_picture

        return open_picture(path)
    if signature is Signature.TIFF:
        from vlmtool_core.media.pictures.choosing import open_tiff

        return open_tiff(path)
    if signature is Signature.PDF:
        from vlmtool_core.media.pictures.pdf import PdfSource

        return PdfSource(path)
    if signature is Signature.DICOM:
        from vlmtool_core.media.dicom.documents import open_object

        return open_object(path)
    if signature is Signature.VIDEO:
        from vlmtool_core.media.video.source import VideoSource

        return VideoSource(path)
    if signature is Signature.NIFTI or (signature is Signature.NONE and is_half_of_pair(path)):
        from vlmtool_core.media.volumes.nifti import NiftiSource

        return NiftiSource(path)
    raise UnsupportedMediaError(
        "the content is neither a picture, nor DICOM, nor video",
        path=path,
        remedy="Check what the file really is; its name does not decide.",
    )
