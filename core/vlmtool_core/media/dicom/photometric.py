"""Photometric interpretation (PS3.3 C.7.6.3.1.2), also where the header contradicts itself."""

from __future__ import annotations

from typing import Any

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.dicom.header import Header, number, text

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_COLOUR = frozenset(
    {
        "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT",
        "YBR_RCT", "XYB",
    }
)  # fmt: skip


def photometric_of(dataset: Any) -> str:
    """What the samples of a pixel mean. The number of samples decides where it contradicts the
    stated interpretation: one sample is grey (or an index), three are red, green and blue.
    """
    stated = text(dataset, "PhotometricInterpretation").upper()
    samples = int(number(dataset, "SamplesPerPixel") or 1)
    if samples == 1 and (stated in _COLOUR or not stated):
        return "MONOCHROME2"
    if samples == 3 and (stated in (*GREY, PALETTE) or not stated):
        return "RGB"
    return stated


def photometric_notes(dataset: Any) -> tuple[str, ...]:
    """What a user must know of a header whose samples and interpretation do not fit."""
    stated = text(dataset, "PhotometricInterpretation").upper()
    used = photometric_of(dataset)
    if stated == used:
        return ()
    samples = int(number(dataset, "SamplesPerPixel") or 1)
    told = f"the header says {stated}" if stated else "the header has no photometric interpretation"
    return (f"{told} with {samples} sample{'s' * (samples > 1)} per pixel: shown as {used}",)


def check_photometric(header: Header) -> None:
    """Refuse what cannot be shown.

    Raises
    ------
    UnsupportedMediaError : names the interpretation
    """
    used = photometric_of(header.dataset)
    samples = int(number(header.dataset, "SamplesPerPixel") or 1)
    if samples == (3 if used in _COLOUR else 1) and (used in (*GREY, PALETTE) or used in _COLOUR):
        return
    raise UnsupportedMediaError(
        f"{used or 'no photometric interpretation'} with {samples} samples per pixel "
        "cannot be shown",
        path=header.path,
        field="PhotometricInterpretation",
        remedy="Export it from the archive as RGB or MONOCHROME2.",
    )


def is_colour(dataset: Any) -> bool:
    """RGB, YBR or PALETTE COLOR: there are no modality values."""
    return photometric_of(dataset) not in GREY
