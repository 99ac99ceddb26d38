"""The header of a DICOM object as a list of elements, for people who look something up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.archives import located
from vlmtool_core.media.budget import check_file
from vlmtool_core.media.dicom.facts import IDENTIFYING
from vlmtool_core.media.dicom.header import is_multiple, read_header
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.readers import identify
from vlmtool_core.media.sniffing import Signature

MOST_CHARACTERS = 200
_MOST_DEPTH = 32
# Names, dates and times, free text, and numbers that other archives know.
_IDENTIFYING_VRS = frozenset(
    ["PN", "DA", "TM", "DT", "AS", "LO", "SH", "LT", "ST", "UT", "UC", "UI", "UR", "UN", "AE"]
)
# Of those VRs: texts that say how a picture was made, and of whom nothing.
_HARMLESS = frozenset(
    ["SOPClassUID", "TransferSyntaxUID", "MediaStorageSOPClassUID", "ConvolutionKernel",
     "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SequenceName",
     "WindowCenterWidthExplanation", "CodeMeaning", "CodeValue", "CodingSchemeDesignator",
     "ImplementationClassUID", "ImplementationVersionName", "RescaleType", "LUTExplanation"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Element:
    """One data element.

    tag : "(0010,0010)"; keyword : "PatientName", "" for private ones; vr : its value representation
    value : as text, at most 200 characters; items of a sequence follow with a greater `depth`
    identifying : whether the value may tell who the patient is
    """

    tag: str
    keyword: str
    name: str
    vr: str
    value: str
    depth: int
    identifying: bool


def elements_of(path: Path) -> list[Element]:
    """Every element before the pixel data, file meta first.

    Raises
    ------
    MediaError : it is no DICOM file, or its header cannot be read
    """
    file = located(path)
    check_file(file)
    if identify(file) not in (Signature.DICOM, Signature.DICOMDIR):
        raise UnsupportedMediaError(
            "it is no DICOM file, and only those have such a header",
            path=path,
            remedy="For other files: vlmtool-cli media info",
        )
    header = read_header(file)
    with decoding(path):
        meta = getattr(header.dataset, "file_meta", None)
        found = list(_walk(meta, 0)) if meta is not None else []
        return found + list(_walk(header.dataset, 0))


def matching(elements: Sequence[Element], wanted: str, *, identifying: bool) -> list[Element]:
    """Elements whose tag, keyword, name or (visible) value contains the text, in any case."""
    text = wanted.casefold().strip()
    return [
        element
        for element in elements
        if text in element.tag
        or text in element.tag.replace(",", "").strip("()")
        or text in f"{element.keyword}\n{element.name}".casefold()
        or (text in element.value.casefold() and (identifying or not element.identifying))
    ]


def _walk(dataset: Any, depth: int) -> Iterator[Element]:
    for tag in sorted(dataset.keys()):
        element = dataset[tag]
        sequence = element.VR == "SQ"
        yield _described(element, depth, sequence)
        if sequence and depth < _MOST_DEPTH:
            for item in element.value or ():
                yield from _walk(item, depth + 1)


def _described(element: Any, depth: int, sequence: bool) -> Element:
    keyword = str(element.keyword or "")
    value = f"{len(element.value or ())} items" if sequence else _text(element.value)
    return Element(
        f"({element.tag.group:04x},{element.tag.element:04x})",
        keyword,
        str(element.name),
        str(element.VR),
        value,
        depth,
        not sequence and _is_identifying(element, keyword),
    )


def _is_identifying(element: Any, keyword: str) -> bool:
    if keyword in _HARMLESS:
        return False
    return element.tag.is_private or keyword in IDENTIFYING or str(element.VR) in _IDENTIFYING_VRS


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = "\\".join(map(str, value)) if is_multiple(value) else str(value)
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
