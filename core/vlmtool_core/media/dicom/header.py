"""Reads DICOM headers without pixels, with limits against lying and exploding files."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.dicom.guarded import GuardedStream
from vlmtool_core.media.dicom.objects import PRESENTATION_STATES, kind_of, sop_class
from vlmtool_core.media.pictures.images import decoding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
MAX_INFLATED_BYTES = 2_000_000_000
_PIECE = 1 << 20
_META_BYTES = 4096  # in which the file meta names its transfer syntax
UNDEFINED_LENGTH = 0xFFFFFFFF

_PIXEL_TAGS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}


@dataclass
class Header:
    """A data set up to its pixel data, and where these lie.

    opener : gives a new stream of the (inflated) object; offset : of the pixel value in it
    length : bytes of the pixel value, None when encapsulated; keyword : "" without pixel data
    """

    path: Path
    dataset: Dataset
    transfer_syntax: str
    opener: Callable[[], BinaryIO]
    keyword: str = ""
    vr: str = ""
    offset: int = 0
    length: int | None = None


def read_header(path: Path) -> Header:
    """Everything before the pixel data.

    Raises
    ------
    DamagedMediaError, UnsupportedMediaError, BudgetExceededError, MediaNotFoundError
    """
    import pydicom
    from pydicom import config

    # Display must survive values that break their VR; what matters is checked here. The
    # warnings quote values, which may name a person.
    config.settings.reading_validation_mode = config.IGNORE
    warnings.filterwarnings("ignore", module="pydicom")
    with decoding(path), path.open("rb") as file:
        if _is_deflated(path):
            return _read_deflated(path)
        guarded: Any = GuardedStream(file, str(path))
        dataset = pydicom.dcmread(guarded, stop_before_pixels=True, force=True)
        header = Header(path, dataset, _transfer_syntax(dataset), lambda: path.open("rb"))
        _locate_pixels(header, file)
    if not len(dataset):
        raise DamagedMediaError("no DICOM element can be read", path=path)
    return header


def _is_deflated(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_META_BYTES)
    if head[128:132] != b"DICM" or DEFLATED.encode() not in head:
        return False
    return str(_meta(path).get("TransferSyntaxUID", "")) == DEFLATED


def _meta(path: Path) -> Any:
    """The file meta group; a length that leaves the file reads no further than the file."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    with path.open("rb") as file:
        guarded: Any = GuardedStream(file, str(path))
        read_preamble(guarded, force=False)
        return _read_file_meta_info(guarded)


def _read_deflated(path: Path) -> Header:
    """Inflate with a limit: pydicom itself would follow a deflate bomb without one."""
    from pydicom.filereader import read_dataset

    meta = _meta(path)
    group_length = meta.get("FileMetaInformationGroupLength")
    if group_length is None:
        raise DamagedMediaError("the file meta group has no length", path=path)
    with path.open("rb") as file:
        file.seek(132 + 12 + int(group_length))
        size = _check_inflated(file, path)
        file.seek(132 + 12 + int(group_length))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        # The count may lack the few bytes that were still held back when the input ended.
        data = inflater.decompress(file.read(), size + _PIECE)
    if not inflater.eof:
        raise DamagedMediaError("the deflated data set is truncated", path=path)
    stream = BytesIO(data)
    dataset = read_dataset(
        stream, False, True, stop_when=lambda tag, _vr, _length: int(tag) in _PIXEL_TAGS
    )
    dataset.file_meta = meta
    header = Header(path, dataset, DEFLATED, lambda: BytesIO(data))
    _locate_pixels(header, stream)
    return header


def _check_inflated(file: BinaryIO, path: Path) -> int:
    """Bytes that the rest of a file inflates to; counted piece by piece, and none of them kept."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    while packed := inflater.unconsumed_tail or file.read(_PIECE):
        size += len(inflater.decompress(packed, _PIECE))
        if size > MAX_INFLATED_BYTES:
            limit = MAX_INFLATED_BYTES / 1e9
            raise BudgetExceededError(f"inflates to more than {limit:.0f} GB", path=path)
        if inflater.eof:
            break
    return size


def _transfer_syntax(dataset: Any) -> str:
    """Of the file meta; else what pydicom found out by trying."""
    meta = getattr(dataset, "file_meta", None)
    stated = str(meta.get("TransferSyntaxUID", "") or "") if meta is not None else ""
    if stated:
        return stated
    implicit, little = dataset.original_encoding
    if implicit:
        return IMPLICIT_LE
    return EXPLICIT_LE if little else EXPLICIT_BE


def _locate_pixels(header: Header, stream: BinaryIO) -> None:
    implicit, little = header.dataset.original_encoding
    if header.transfer_syntax == DEFLATED:
        implicit, little = False, True
    order = "<" if little else ">"
    head = stream.read(8)
    if len(head) < 8:
        return
    group, element = struct.unpack_from(f"{order}HH", head)
    header.keyword = _PIXEL_TAGS.get(group << 16 | element, "")
    if not header.keyword:
        return
    # Some writers mix implicit elements into an explicit data set.
    if implicit or not head[4:6].isalpha():
        length = struct.unpack_from(f"{order}I", head, 4)[0]
        header.vr = "OW"
    else:
        header.vr = head[4:6].decode("ascii", "replace")
        rest = stream.read(4)
        if len(rest) < 4:
            raise DamagedMediaError("the file ends in the pixel data's header", path=header.path)
        length = struct.unpack(f"{order}I", rest)[0]
    header.offset = stream.tell()
    header.length = None if length == UNDEFINED_LENGTH else length


def require_pixels(header: Header) -> None:
    """Refuse objects that hold no picture, saying what they are.

    Raises
    ------
    UnsupportedMediaError
    """
    if header.keyword:
        return
    dataset = header.dataset
    sop = sop_class(dataset)
    if sop == DICOMDIR_CLASS:
        raise UnsupportedMediaError(
            "this is a DICOMDIR, an index of other files",
            path=header.path,
            remedy="Open the folder it lies in.",
        )
    modality = text(dataset, "Modality")
    kind = kind_of(sop)
    what = f"this {kind} ({modality or 'no modality'}) holds no pixel data"
    remedy = "Reports, plans and waveforms cannot be shown as pictures."
    if kind.endswith("Image"):
        remedy = "Fetch it again from the archive, with its pixel data."
    if sop.startswith(PRESENTATION_STATES):
        remedy = "Open the pictures it refers to, and choose it there."
    field = None
    if "EncapsulatedDocument" in dataset:
        field = "EncapsulatedDocument"
        remedy = "Export the document from the archive; of documents only PDF is shown here."
    raise UnsupportedMediaError(what, path=header.path, field=field, remedy=remedy)


def is_multiple(value: Any) -> bool:
    """Whether an element's value is a list of values (a person's name is iterable, but one)."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def number(dataset: Any, keyword: str) -> float | None:
    """The first value of an element as a number; None when absent, empty or not a number."""
    values = numbers(dataset, keyword)
    return values[0] if values else None


def numbers(dataset: Any, keyword: str) -> list[float]:
    """All values of an element as numbers; none of them when one is not a number."""
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return []
        return [float(item) for item in (value if is_multiple(value) else [value])]
    except (TypeError, ValueError, OverflowError, NotImplementedError):  # an unknown VR
        return []


def text(dataset: Any, keyword: str) -> str:
    """An element as one line of text, "" when absent or unreadable."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, LookupError, NotImplementedError):
        return ""
    if value is None:
        return ""
    if is_multiple(value):
        return " ".join(str(item) for item in value).strip()
    return " ".join(str(value).replace("^", " ").split())
