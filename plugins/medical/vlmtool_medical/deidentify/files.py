"""Finds the DICOM objects under a folder and reads and writes them whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.api import (
    DamagedMediaError,
    MediaError,
    MediaKind,
    StorageError,
    UnsupportedMediaError,
    located,
    natural_key,
    open_media,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class NotDicomError(UnsupportedMediaError):
    """The file is no DICOM object; it is left where it is."""

    code = "not-dicom"


def files_under(root: Path) -> list[Path]:
    """All files, hidden ones too, in natural order; links to folders are not followed."""
    if root.is_file():
        return [root]
    found = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return sorted(found, key=lambda path: natural_key(str(path)))


def read_object(path: Path) -> Dataset:
    """A whole DICOM object with pixel data, after its header passed the program's limits.

    Raises
    ------
    NotDicomError, UnsupportedMediaError, DamagedMediaError, MediaError
    """
    import pydicom

    if _starts_with(path, 0, b"PK\x03\x04"):
        raise NotDicomError("a zip archive; unpack it to have its files cleaned", path=path)
    has_signature = _starts_with(path, 128, b"DICM")
    try:
        with open_media(path) as source:
            if source.info.kind is not MediaKind.DICOM:
                raise NotDicomError("no DICOM object", path=path)
    except UnsupportedMediaError as error:
        # Without a decoder for its pixels an object can still be cleaned.
        if not has_signature or isinstance(error, NotDicomError):
            raise NotDicomError("no DICOM object", path=path) from error
    except MediaError as error:
        if not has_signature:
            raise NotDicomError(f"no readable DICOM object: {error.message}", path=path) from error
        raise
    try:
        dataset = pydicom.dcmread(located(path), force=True)
    except Exception as error:
        raise DamagedMediaError(f"cannot be read: {error}", path=path) from error
    if "DirectoryRecordSequence" in dataset:
        raise NotDicomError("an index of files (DICOMDIR), no object", path=path)
    if not any(keyword in dataset for keyword in PIXELS):
        raise UnsupportedMediaError(
            "holds no picture (a report, plan or document): its free text cannot be cleaned",
            path=path,
            remedy="It was not copied. Remove it, or clean it by hand.",
        )
    return dataset


def _starts_with(path: Path, offset: int, signature: bytes) -> bool:
    try:
        with located(path).open("rb") as file:
            file.seek(offset)
            return file.read(len(signature)) == signature
    except OSError:
        return False


def pixel_digest(dataset: Any) -> str:
    """SHA-256 of the stored pixel data, padded to even length as a file must be (PS3.5 7.1)."""
    digest = hashlib.sha256()
    for keyword in PIXELS:
        if keyword in dataset:
            value = dataset[keyword].value or b""
            digest.update(value)
            digest.update(b"\0" * (len(value) % 2))
    return digest.hexdigest()


def write_object(dataset: Any, path: Path) -> None:
    """Write the object with a new, empty preamble and a file meta group made from scratch.

    Raises
    ------
    DamagedMediaError : it lacks what a DICOM file needs
    StorageError : the disk is full or read-only
    """
    from pydicom.dataset import FileMetaDataset

    meta: Any = FileMetaDataset()
    meta.TransferSyntaxUID = _transfer_syntax(dataset)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    if not meta.MediaStorageSOPClassUID or not meta.MediaStorageSOPInstanceUID:
        raise DamagedMediaError("the object has no SOP class or instance UID")
    dataset.file_meta = meta
    dataset.preamble = bytes(128)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=path) from error
    except Exception as error:
        path.unlink(missing_ok=True)
        raise DamagedMediaError(f"cannot be written: {error}") from error


def _transfer_syntax(dataset: Any) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    stated = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")
    if stated:
        return str(stated)
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian) if little else str(ExplicitVRBigEndian)
