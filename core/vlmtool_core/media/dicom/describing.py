"""Describes DICOM objects that hold no pixels: reports, plans, waveforms, presentation states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmtool_core.media.budget import check_file
from vlmtool_core.media.dicom.facts import identifying_of
from vlmtool_core.media.dicom.header import number, read_header, text
from vlmtool_core.media.dicom.objects import class_name, kind_of, sop_class
from vlmtool_core.media.dicom.presentation_state import (
    is_presentation_state,
    read_presentation_state,
)
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.readers import identify
from vlmtool_core.media.sniffing import Signature
from vlmtool_core.records import Json

_IDENTIFYING = ("ContentLabel", "ContentDescription", "ContentCreatorName", "DocumentTitle")


@dataclass(frozen=True)
class ObjectInfo:
    """kind : in plain words; facts : that identify nobody; identifying : that may."""

    path: Path
    kind: str
    facts: Mapping[str, Json]
    identifying: Mapping[str, str]


def describe_object(path: Path) -> ObjectInfo | None:
    """What a DICOM object without pixels is; None for one with pixels, and for what is no DICOM.

    Raises
    ------
    MediaError : its header is damaged
    """
    if not path.is_file() or identify(path) is not Signature.DICOM:
        return None
    check_file(path)
    header = read_header(path)
    if header.keyword:
        return None
    dataset = header.dataset
    with decoding(path):
        sop = sop_class(dataset)
        facts: dict[str, Json] = {
            "format": "DICOM",
            "modality": text(dataset, "Modality").upper(),
            "sop_class": class_name(sop) or sop,
            **_contents(dataset),
        }
    if is_presentation_state(path):
        facts |= read_presentation_state(path).facts()
    more = {keyword: text(dataset, keyword) for keyword in _IDENTIFYING}
    identifying = identifying_of(dataset) | {k: v for k, v in more.items() if v}
    return ObjectInfo(path, kind_of(sop), {k: v for k, v in facts.items() if v}, identifying)


def _contents(dataset: Any) -> dict[str, Json]:
    """What there is of things that such objects hold many of."""
    counts = {
        "content_items": "ContentSequence",
        "structures": "StructureSetROISequence",
        "beams": "BeamSequence",
        "fraction_groups": "FractionGroupSequence",
        "registrations": "RegistrationSequence",
        "surfaces": "SurfaceSequence",
    }
    found: dict[str, Json] = {
        name: len(dataset[keyword].value)
        for name, keyword in counts.items()
        if dataset.get(keyword)
    }
    groups = dataset.get("WaveformSequence") or ()
    if groups:
        found["channels"] = sum(int(number(g, "NumberOfWaveformChannels") or 0) for g in groups)
        samples = number(groups[0], "NumberOfWaveformSamples")
        frequency = number(groups[0], "SamplingFrequency")
        if samples and frequency:
            found["duration_s"] = samples / frequency
    if document := text(dataset, "MIMETypeOfEncapsulatedDocument"):
        found["document"] = document
    return found
