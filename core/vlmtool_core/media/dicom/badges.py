"""What must be said beside a DICOM picture whenever it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vlmtool_core.media.base import Badge
from vlmtool_core.media.dicom.header import numbers, text
from vlmtool_core.media.dicom.syntaxes import is_always_lossy, syntax_name

SECONDARY_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
# Their pictures often carry text: names, dates and numbers among it.
_MAY_HAVE_TEXT = frozenset({"US", "SC", "XC", "ES", "OT", "RF", "XA", "IO", "DOC"})
_HOUNSFIELD = "HU"


def badges_of(dataset: Any, unit: str) -> tuple[Badge, ...]:
    """Lossy, burned-in text, secondary capture, a CT whose values are no HU.

    unit : of the modality values, as `MediaInfo.unit`
    """
    return (*_coding(dataset), *_burned_in(dataset), *_origin(dataset, unit))


def uneven(geometry: Sequence[str]) -> tuple[Badge, ...]:
    """One badge for whatever is wrong with the places of a series' slices; none if nothing is."""
    return (Badge("uneven slices", "; ".join(geometry)),) if geometry else ()


def _coding(dataset: Any) -> Iterator[Badge]:
    """Lossy Image Compression (0028,2110), which stays 01 once it was; or a coding that loses."""
    if text(dataset, "LossyImageCompression") == "01":
        # A value for each time that it was compressed (PS3.3 C.7.6.1.1.5).
        ratios = numbers(dataset, "LossyImageCompressionRatio")
        steps = " then ".join(f"{ratio:g}:1" for ratio in ratios if ratio)
        yield Badge(f"lossy {steps}".strip(), f"lossy compression {steps}".strip(), grave=True)
        return
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    if is_always_lossy(syntax):
        note = (
            f"lossy compression: {syntax_name(syntax)} loses, although the header does not say so"
        )
        yield Badge("lossy", note, grave=True)


def _burned_in(dataset: Any) -> Iterator[Badge]:
    """Burned In Annotation (0028,0301)."""
    burned = text(dataset, "BurnedInAnnotation").upper()
    modality = text(dataset, "Modality").upper()
    if burned == "YES":
        note = "text that identifies the patient is burned into the picture"
        yield Badge("burned-in text", note, grave=True)
    elif burned != "NO" and (modality in _MAY_HAVE_TEXT or text(dataset, "ConversionType")):
        note = "text may be burned into the picture; the header does not say"
        yield Badge("burned-in text possible", note)


def _origin(dataset: Any, unit: str) -> Iterator[Badge]:
    captured = text(dataset, "SOPClassUID").startswith(SECONDARY_CAPTURES)
    if captured:
        note = "a secondary capture: a picture of a picture, not what the device measured"
        yield Badge("secondary capture", note)
    if text(dataset, "Modality").upper() == "CT" and unit != _HOUNSFIELD:
        yield Badge("not HU", "the values of this CT are not Hounsfield units")
