"""Which action the confidentiality profile asks for: by keyword, else by value representation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

WELL_KNOWN_UIDS = "1.2.840.10008."
TEXT = frozenset({"AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "OB or OW", "UN"})


class Action(StrEnum):
    """What is done to an element; KEEP on a sequence means: look into its items."""

    KEEP = "kept"
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced"
    UID = "UID replaced"
    SHIFT = "date shifted"


@dataclass(frozen=True)
class Decision:
    """An action, and the rule that asked for it as a report names it."""

    action: Action
    rule: str

    @property
    def kept(self) -> bool:
        return self.action is Action.KEEP


# Of a compound code, the part that keeps an object conformant whatever its type: the value is
# gone in each case, the element stays.
_CODES = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.UID,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.KEEP,
}
_KEPT = Decision(Action.KEEP, "")


@dataclass(frozen=True)
class Profile:
    """The table, and what of it the options switch off."""

    standard: str
    codes: Mapping[str, str]
    kept_text: frozenset[str]
    kept_binary: frozenset[str]
    characteristics: frozenset[str]

    def decide(self, element: Any, *, keep_characteristics: bool = False) -> Decision:
        """What happens to a pydicom data element (whose sequence items are looked at later)."""
        tag, keyword, vr = element.tag, element.keyword, str(element.VR)
        structural = _by_group(tag)
        if structural is not None:
            return structural
        if keep_characteristics and keyword in self.characteristics:
            return _KEPT
        code = self.codes.get(keyword)
        if code is not None:
            return _by_code(code, vr)
        if not keyword:
            return Decision(Action.REMOVE, "unknown attribute")
        return self._by_representation(keyword, vr, element)

    def _by_representation(self, keyword: str, vr: str, element: Any) -> Decision:
        if vr in ("DA", "DT"):
            return Decision(Action.SHIFT, f"{vr}: option 113107")
        if vr == "UI":
            return _KEPT if is_well_known(element.value) else Decision(Action.UID, "UI")
        if vr in ("PN", "AS"):
            return Decision(Action.REMOVE, vr)
        if vr in TEXT and keyword not in self.kept_text:
            return Decision(Action.REMOVE, f"{vr}: free text")
        if vr in BINARY and keyword not in self.kept_binary:
            return Decision(Action.REMOVE, f"{vr}: binary")
        return _KEPT


def _by_group(tag: Any) -> Decision | None:
    if tag.is_private:
        return Decision(Action.REMOVE, "private attribute")
    if 0x5000 <= tag.group <= 0x50FF:
        return Decision(Action.REMOVE, "curve")
    if 0x6000 <= tag.group <= 0x60FF:
        return Decision(Action.REMOVE, "overlay")
    if tag.group < 0x0008 or tag.element == 0:
        return Decision(Action.REMOVE, "not part of an image")
    return None


def _by_code(code: str, vr: str) -> Decision:
    action = _CODES[code]
    if vr == "SQ" and action is Action.DUMMY:
        # A dummy item would have to be invented; images need none of these sequences.
        action = Action.EMPTY
    return Decision(action, f"E.1-1: {code}")


def is_well_known(value: Any) -> bool:
    """Whether all UIDs of an element are registered by the standard (SOP classes and the like)."""
    values = [value] if isinstance(value, str) else list(value or ())
    return all(str(uid).startswith(WELL_KNOWN_UIDS) or not str(uid) for uid in values)


@cache
def load_profile() -> Profile:
    """The table that comes with this package."""
    text = (files(__package__) / "profile.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    codes = {name: code for code, names in table["actions"].items() for name in names.split()}
    return Profile(
        table["standard"],
        codes,
        frozenset(table["keep"]["text"].split()),
        frozenset(table["keep"]["binary"].split()),
        frozenset(table["characteristics"]["keep"].split()),
    )
