"""What the profile cannot settle and a person has to look at: text and faces in the pixels."""

from __future__ import annotations

from typing import Any

from vlmtool_core.api import Finding

WORKFLOW = "medical.deidentify"
# Screens, scans and cameras write names into the picture whatever the header says of it.
_WRITES_TEXT = frozenset({"US", "SC", "XC", "ES", "OT", "DOC", "IO", "RF", "XA", "GM", "OP"})
_HEADS = ("HEAD", "BRAIN", "FACE", "SKULL", "SINUS", "NECK", "ORBIT", "IAC")


def findings_for(dataset: Any, path: str) -> list[Finding]:
    """Findings for a cleaned object (before its overlays are gone), about its new file."""
    reasons = [
        ("burned-in-text-possible", "Text may be burned into the pixels", _text_reason(dataset)),
        ("overlay-in-pixels", "Overlay bits inside the pixel data", _overlay_reason(dataset)),
        ("face-possible", "A face could be rendered from this volume", _face_reason(dataset)),
    ]
    return [
        Finding(kind, title, path, model=WORKFLOW, data={"reason": reason})
        for kind, title, reason in reasons
        if reason
    ]


def _text_reason(dataset: Any) -> str:
    stated = str(dataset.get("BurnedInAnnotation", "") or "").upper()
    if stated == "YES":
        return "the header says so (Burned In Annotation YES)"
    modality = str(dataset.get("Modality", "") or "").upper()
    if modality in _WRITES_TEXT:
        said = "and the header denies it" if stated == "NO" else "and the header does not say"
        return f"modality {modality} often shows names {said}"
    if dataset.get("ConversionType"):
        return "the picture is a capture or a scan"
    image_type = {str(value).upper() for value in dataset.get("ImageType", None) or ()}
    if image_type & {"SECONDARY", "SCREEN SAVE"} and stated != "NO":
        return "the picture was made from others"
    return ""


def _overlay_reason(dataset: Any) -> str:
    """Overlays without data of their own lie in unused bits of the pixels (retired, but seen)."""
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x0010) in dataset and (group, 0x3000) not in dataset:
            return "an overlay has no data of its own: it may lie in the bits above the stored ones"
    return ""


def _face_reason(dataset: Any) -> str:
    if str(dataset.get("Modality", "") or "").upper() not in ("CT", "MR", "PT"):
        return ""
    part = str(dataset.get("BodyPartExamined", "") or "").upper()
    if any(word in part for word in _HEADS):
        return f"body part {part}: slices of a head can be rendered to a face"
    return ""
