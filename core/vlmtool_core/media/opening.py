"""`open_media`: chooses the source by content, never by extension."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlmtool_core.errors import MediaNotFoundError, UnsupportedMediaError
from vlmtool_core.media.base import MediaSource
from vlmtool_core.media.budget import check_file
from vlmtool_core.media.readers import PluginReader, identify
from vlmtool_core.media.sniffing import Signature
from vlmtool_core.media.volumes.nifti_magic import is_half_of_pair


def open_media(path: Path | str, files: Sequence[Path] = ()) -> MediaSource:
    """Open a picture, a DICOM object or series, a video, a volume, or what a plugin reads.

    path : a file, or a folder that holds one DICOM series
    files : the slices of a DICOM series, in order; `path` is then the item they make up

    Raises
    ------
    MediaNotFoundError : it is not there or may not be read
    UnsupportedMediaError : it is nothing that can be shown, or a folder with several series
    DamagedMediaError : it is empty, truncated or contradicts its header
    BudgetExceededError : its header asks for more than the settings allow
    """
    path = Path(path)
    if files:
        return _open_series(path, files)
    if path.is_dir():
        return _open_folder(path)
    check_file(path)
    found = identify(path)
    return found.open(path) if isinstance(found, PluginReader) else _open_file(path, found)


def _open_file(path: Path, signature: Signature) -> MediaSource:
    if signature is Signature.PICTURE:
        from vlmtool_core.media.pictures.images import ImageSource

        return ImageSource(path)
    if signature is Signature.TIFF:
        from vlmtool_core.media.pictures.tiff import TiffSource

        return TiffSource(path)
    if signature is Signature.PDF:
        from vlmtool_core.media.pictures.pdf import PdfSource

        return PdfSource(path)
    if signature is Signature.DICOM:
        from vlmtool_core.media.dicom.source import DicomSource

        return DicomSource(path)
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


def _open_series(path: Path, files: Sequence[Path]) -> MediaSource:
    from vlmtool_core.media.dicom.source import DicomSource

    for file in files:
        check_file(file)
    return DicomSource(path, tuple(files))


def _open_folder(path: Path) -> MediaSource:
    from vlmtool_core.media.scanning import scan

    found = [item for item in scan([path]) if item.files]
    if len(found) == 1:
        return _open_series(path, found[0].files)
    if not found:
        raise MediaNotFoundError(
            "the folder holds no DICOM series",
            path=path,
            remedy="Name a file, or a folder whose slices belong to one series.",
        )
    names = ", ".join(f"{item.name} ({len(item.files)} slices)" for item in found)
    raise UnsupportedMediaError(
        f"the folder holds {len(found)} series: {names}",
        path=path,
        remedy="Name the slices of one of them, or add the folder to a project.",
    )
