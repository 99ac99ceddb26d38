"""What a DICOM object is, by its SOP class, whether or not it holds pixels."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CLASSES = "1.2.840.10008.5.1.4.1.1."
ENCAPSULATED_PDF = f"{_CLASSES}104.1"
PRESENTATION_STATES = f"{_CLASSES}11."
GREYSCALE_STATE = f"{_CLASSES}11.1"
_STORAGE_CLASS = 0x00020002
_HEAD = 2048
# The longest that fits decides; "" after a final dot stands for a whole family of classes.
_WORDS: Mapping[str, str] = {
    f"{_CLASSES}104.1": "encapsulated PDF",
    f"{_CLASSES}104.2": "encapsulated clinical document (CDA)",
    f"{_CLASSES}104.3": "encapsulated model (STL)",
    f"{_CLASSES}104.4": "encapsulated model (OBJ)",
    f"{_CLASSES}104.5": "encapsulated materials of a model (MTL)",
    f"{_CLASSES}11.1": "greyscale presentation state",
    f"{_CLASSES}11.": "presentation state",
    f"{_CLASSES}4.2": "MR spectroscopy",
    f"{_CLASSES}481.3": "RT structure set",
    f"{_CLASSES}481.4": "RT treatment record",
    f"{_CLASSES}481.5": "RT plan",
    f"{_CLASSES}481.6": "RT treatment record",
    f"{_CLASSES}481.7": "RT treatment summary",
    f"{_CLASSES}481.8": "RT ion plan",
    f"{_CLASSES}481.9": "RT ion treatment record",
    f"{_CLASSES}481.": "RT object",
    f"{_CLASSES}66": "raw data",
    f"{_CLASSES}66.1": "spatial registration",
    f"{_CLASSES}66.2": "spatial fiducials",
    f"{_CLASSES}66.3": "deformable spatial registration",
    f"{_CLASSES}66.5": "surface segmentation",
    f"{_CLASSES}66.6": "tractography results",
    f"{_CLASSES}67": "real world value mapping",
    f"{_CLASSES}68.1": "surface scan",
    f"{_CLASSES}78.": "ophthalmic measurements",
    f"{_CLASSES}79.1": "ophthalmic measurements",
    f"{_CLASSES}80.1": "visual field measurements",
    f"{_CLASSES}88.": "structured report",
    f"{_CLASSES}88.59": "key object selection",
    f"{_CLASSES}88.67": "X-ray dose report",
    f"{_CLASSES}88.73": "patient dose report",
    f"{_CLASSES}9.": "waveform",
    f"{_CLASSES}9.1.1": "waveform (12-lead ECG)",
    f"{_CLASSES}9.1.2": "waveform (ECG)",
    f"{_CLASSES}9.1.3": "waveform (ambulatory ECG)",
    f"{_CLASSES}9.2.1": "waveform (haemodynamic)",
    f"{_CLASSES}9.4.1": "audio recording",
    f"{_CLASSES}9.4.2": "audio recording",
    "1.2.840.10008.1.3.10": "DICOMDIR",
    "1.2.840.10008.5.1.4.34.": "work list entry or procedure step",
    "1.2.840.10008.5.1.4.38.1": "hanging protocol",
    "1.2.840.10008.5.1.4.39.1": "colour palette",
    "1.2.840.10008.5.1.4.45.1": "implant assembly template",
}


def kind_of(uid: str) -> str:
    """A SOP class in words: of the table here, else by the standard's name of it.

    "DICOM object" where the standard knows nothing of it.
    """
    fitting = [one for one in _WORDS if uid == one or (one.endswith(".") and uid.startswith(one))]
    if fitting:
        return _WORDS[max(fitting, key=len)]
    from pydicom.uid import UID

    name = UID(uid).name if uid else ""
    if not name or name == uid:
        return "DICOM object"
    return name.removesuffix(" Storage").removesuffix(" - For Presentation")


def class_name(uid: str) -> str:
    """The standard's name of a SOP class, "" where it has none."""
    from pydicom.uid import UID

    return UID(uid).name if uid and UID(uid).name != uid else ""


def storage_class(path: Path) -> str:
    """The SOP class that a file's meta information states, read from its first bytes alone.

    "" for a file without it: there only the header itself tells.

    Raises
    ------
    OSError : it cannot be read
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return _stated_class(head) if head[128:132] == b"DICM" else ""


def _stated_class(head: bytes) -> str:
    """Group 2 is always explicit little endian (PS3.10 7.1)."""
    place = 132
    while place + 12 <= len(head):
        group, element, vr, length = struct.unpack_from("<HH2sH", head, place)
        if group != 0x0002:
            break
        value = place + 8
        if vr in (b"OB", b"UN", b"OW", b"SQ", b"UT"):
            length, value = struct.unpack_from("<I", head, place + 8)[0], place + 12
        if group << 16 | element == _STORAGE_CLASS:
            return head[value : value + length].decode("ascii", "replace").strip(" \0")
        place = value + length
    return ""


def sop_class(dataset: Any) -> str:
    """The SOP class of a data set, or of its file's meta information."""
    meta = getattr(dataset, "file_meta", None)
    stated = meta.get("MediaStorageSOPClassUID", "") if meta is not None else ""
    return str(stated or dataset.get("SOPClassUID", "") or "")
