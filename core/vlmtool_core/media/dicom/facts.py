"""What a DICOM header tells: facts that identify nobody, values that do, and warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vlmtool_core.media.dicom.header import Header, number, numbers, text
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.dicom.syntaxes import syntax_name
from vlmtool_core.records import Json

# Shown in a panel that one switch hides; never given to a model.
IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate",
    "StudyTime", "AcquisitionDate", "ContentDate", "AccessionNumber", "StudyID",
    "StudyDescription", "SeriesDescription", "ProtocolName", "InstitutionName", "StationName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "ImageComments",
    "PatientComments", "StudyInstanceUID", "SeriesInstanceUID",
)  # fmt: skip
_CODES = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "view": "ViewPosition",
    "laterality": "ImageLaterality",
    "photometric": "PhotometricInterpretation",
}
# Defined terms only: free text in such an element may hold a name.
_CODE = re.compile(r"[A-Z0-9][A-Z0-9 _]{0,15}")


def facts_of(header: Header) -> dict[str, Json]:
    """Modality, body part, view, geometry, coding: nothing that identifies a person."""
    dataset = header.dataset
    facts: dict[str, Json] = {"format": "DICOM"}
    for name, keyword in _CODES.items():
        value = text(dataset, keyword).upper()
        if _CODE.fullmatch(value):
            facts[name] = value
    if "laterality" not in facts:
        laterality = text(dataset, "Laterality").upper()
        facts.update({"laterality": laterality} if laterality in ("L", "R", "B") else {})
    facts["bits_stored"] = int(number(dataset, "BitsStored") or 0)
    facts["transfer_syntax"] = syntax_name(header.transfer_syntax).split(" (1.2")[0]
    facts.update(_spacing(dataset))
    aspect = numbers(dataset, "PixelAspectRatio")
    if len(aspect) == 2 and aspect[0] != aspect[1] and "pixel_spacing_mm" not in facts:
        facts["pixel_aspect_ratio"] = aspect
    return facts


def _spacing(dataset: Any) -> dict[str, Json]:
    """Row and column spacing in mm, and where it comes from; nothing when it is not known."""
    found = pixel_spacing(dataset)
    if found is None:
        return {}
    spacing = [found.row_mm, found.column_mm]
    return {"pixel_spacing_mm": spacing, "spacing_source": found.source}


def identifying_of(dataset: Any) -> dict[str, str]:
    """Values that may identify a person, by DICOM keyword."""
    values = {keyword: text(dataset, keyword) for keyword in IDENTIFYING}
    return {keyword: value for keyword, value in values.items() if value}


def cine_times(
    dataset: Any, count: int, stream: Sequence[float] | None = None
) -> tuple[list[float] | None, float | None]:
    """Seconds of each frame from the first, and the rate to show them at; None when unknown.

    stream : the times that an encapsulated video states, used where the header has none
    """
    times = _header_times(dataset, count)
    if times is None and stream is not None and len(stream) >= count:
        times = list(stream[:count])
    rate = number(dataset, "RecommendedDisplayFrameRate") or number(dataset, "CineRate")
    if not rate and times and times[-1] > 0:
        rate = (count - 1) / times[-1]
    return times, rate if rate and count > 1 else None


def _header_times(dataset: Any, count: int) -> list[float] | None:
    step_ms = number(dataset, "FrameTime")
    steps = numbers(dataset, "FrameTimeVector")
    if len(steps) == count and count > 1:
        total, times = 0.0, []
        for step in [0.0, *steps[1:]]:
            total += step / 1000
            times.append(total)
        return times
    if step_ms and step_ms > 0 and count > 1:
        return [i * step_ms / 1000 for i in range(count)]
    return None
