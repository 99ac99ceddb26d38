"""Photometric interpretation (PS3.3 C.7.6.3.1.2), also where the header contradicts itself."""

from __future__ import annotations

import struct
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
_UID = "1.2.840.10008.1.2.4"
_JPEG = frozenset(f"{_UID}.{number}" for number in (50, 51, 57, 70))
_JPEG_2000 = frozenset(f"{_UID}.{number}" for number in (90, 91, 201, 202, 203))


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


def coded_photometric(syntax: str, data: bytes, stated: str) -> str:
    """What the samples of a colour code stream mean before its decoder has converted them.

    JPEG has no YBR_ICT and YBR_RCT: a header that says so means its YCbCr. JPEG 2000 tells itself
    whether its components were transformed; decoders then give RGB, whatever the header says.
    """
    if syntax in _JPEG and stated in ("YBR_ICT", "YBR_RCT"):
        return "YBR_FULL"
    if syntax in _JPEG_2000 and stated.startswith("YBR_") and _is_transformed(data):
        return "RGB"
    return stated


def _is_transformed(data: bytes) -> bool:
    """Whether a JPEG 2000 stream uses a component transform (ISO/IEC 15444-1 A.6.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    place = start + 2
    while start >= 0 and place + 9 <= len(data):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == 0xFF52:
            return data[place + 8] == 1
        if marker == 0xFF90 or marker < 0xFF00:
            break
        place += 2 + int(length)
    return False


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
