"""The letters at the edges of a picture that say where in the patient they lie.

Names of directions are those of PS3.3 C.7.6.1.1.1. What is not stated has no letters: a wrong
side is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlmtool_core.media.base import PlaneGeometry

# From this angle on a second axis is named, too; LPS axes with their two ends each.
DOUBLET_DEGREES = 10.0
BIPED = (("L", "R"), ("P", "A"), ("H", "F"))

_TRUNK = (("LE", "RT"), ("D", "V"), ("CR", "CD"))
_SKULL = (("LE", "RT"), ("D", "V"), ("R", "CD"))
_TRUNK_PARTS = (
    "ABDOMEN", "ABDOMENPELVIS", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CSPINE", "HEART",
    "LSPINE", "NECK", "PELVIS", "SPINE", "SSPINE", "TAIL", "THORAX", "TRUNK", "TSPINE", "WHOLEBODY",
)  # fmt: skip
_SKULL_PARTS = ("BRAIN", "HEAD", "JAW", "MAXILLA", "NOSE", "ORBIT", "SINUS", "SKULL")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_OPPOSITE_OF_QUADRUPED = {
    "LE": "RT",
    "RT": "LE",
    "CR": "CD",
    "R": "CD",
    "M": "L",
    "L": "M",
    "PR": "DI",
    "DI": "PR",
    "V": "D",
    "PA": "D",
    "PL": "D",
    # What lies across from D and CD depends on the part of the body.
}


@dataclass(frozen=True, slots=True)
class EdgeLetters:
    """What lies beyond each edge of a picture; "" where that is not known."""

    left: str
    right: str
    top: str
    bottom: str


def orientation_letters(direction: Sequence[float], ends: Sequence[tuple[str, str]] = BIPED) -> str:
    """The letters of a direction in the patient: "L", "LP", ...; at most two, larger part first.

    direction : LPS, of any length; ends : letters of both ends of x, y and z
    Returns "" when it is no direction.
    """
    length = math.hypot(*direction)
    if not math.isfinite(length) or length == 0:
        return ""
    least = math.sin(math.radians(DOUBLET_DEGREES))
    parts = sorted(range(3), key=lambda axis: -abs(direction[axis]))[:2]
    return "".join(
        ends[axis][0 if direction[axis] > 0 else 1]
        for place, axis in enumerate(parts)
        if place == 0 or abs(direction[axis]) / length >= least
    )


def letters_of_plane(plane: PlaneGeometry, ends: Sequence[tuple[str, str]] = BIPED) -> EdgeLetters:
    """What lies at the edges of a picture whose place in the patient is known."""
    right, bottom = plane.row, plane.column
    left, top = ((-x, -y, -z) for x, y, z in (right, bottom))
    found = (orientation_letters(edge, ends) for edge in (left, right, top, bottom))
    return EdgeLetters(*found)


def ends_of(anatomy: str, body_part: str) -> tuple[tuple[str, str], ...] | None:
    """Letters of both ends of the patient's axes; None where they cannot be known.

    anatomy : AnatomicalOrientationType, "" counts as BIPED
    body_part : BodyPartExamined, which decides for a quadruped (PS3.3 C.7.6.2.1.1): at the head
        the third axis runs to the nose; on limbs the axes have other names
    """
    if anatomy in ("", "BIPED"):
        return BIPED
    part = "".join(body_part.split()).upper()
    if anatomy == "QUADRUPED" and part in _TRUNK_PARTS:
        return _TRUNK
    return _SKULL if anatomy == "QUADRUPED" and part in _SKULL_PARTS else None


def letters_of_directions(directions: Sequence[str], anatomy: str) -> EdgeLetters | None:
    """From the values of PatientOrientation: where rows, and columns, run to.

    Returns None when they are not stated or none of the standard's.
    """
    if len(directions) != 2:
        return None
    pairs = [_ends(text.strip().upper(), anatomy) for text in directions]
    if pairs[0] is None or pairs[1] is None:
        return None
    (right, left), (bottom, top) = pairs[0], pairs[1]
    return EdgeLetters(left, right, top, bottom)


def _ends(text: str, anatomy: str) -> tuple[str, str] | None:
    """The direction and the one across from it; "" for one that is not known."""
    names = _OPPOSITE if anatomy in ("", "BIPED") else _OPPOSITE_OF_QUADRUPED
    parts = _split(text, [*names, "D", "CD"] if names is _OPPOSITE_OF_QUADRUPED else [*names])
    if not parts:
        return None
    known = all(part in names for part in parts)
    return "".join(parts[:2]), "".join(names[part] for part in parts[:2]) if known else ""


def _split(text: str, names: Sequence[str]) -> list[str]:
    """The names that `text` is made of, longer ones first; empty when it is not."""
    parts: list[str] = []
    while text:
        fitting = [name for name in names if text.startswith(name)]
        if not fitting:
            return []
        parts.append(max(fitting, key=len))
        text = text[len(parts[-1]) :]
    return parts
