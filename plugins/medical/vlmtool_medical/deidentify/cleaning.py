"""Applies the profile to a data set, down through all sequences, and tells what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vlmtool_core.api import DamagedMediaError
from vlmtool_medical.deidentify.identity import Identity, shift_date
from vlmtool_medical.deidentify.profile import (
    TEXT,
    WELL_KNOWN_UIDS,
    Action,
    Decision,
    Profile,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DUMMY = "ANONYMIZED"
METHODS = (("113100", "Basic Application Confidentiality Profile"),)
DATES_METHOD = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
CHARACTERISTICS_METHOD = ("113108", "Retain Patient Characteristics Option")
WORDS = TEXT | {"PN", "UI", "DA", "DT", "AS", "CS"}
_NUMBERS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
# Their values point at one patient, visit or order; what others say (an institution's name, a
# description) may just as well stand in an element that stays ("CHEST", "SIEMENS").
_IDENTIFYING_VRS = frozenset({"PN", "UI", "DA", "DT", "AE", "UR"})
_IDENTIFYING_ENDS = ("ID", "IDs", "Number", "Numbers", "Address")
_PATIENT_GROUPS = (0x0010, 0x0038)
# TrackingID is a text for a lesion or segment, often the term that stands beside it as a code.
_NOT_IDENTIFYING = ("PatientSex", "PatientAge", "EthnicGroup", "SmokingStatus", "TrackingID")
_DEVICE_GROUP = 0x0018
# Real objects have a handful of levels; deeper ones are made to exhaust whoever reads them.
MAX_DEPTH = 32


@dataclass(frozen=True)
class Change:
    """One element that was changed.

    place : tags and item numbers from the top, as "(0008,1140)[0].(0008,1155)"
    values : what stood there, as text; for the proof only, never for a report
    identifying : the value by itself points at a person, place, device or object
    """

    place: str
    keyword: str
    vr: str
    action: Action
    rule: str
    values: tuple[str, ...] = ()
    identifying: bool = True


@dataclass
class Cleaned:
    """What cleaning one object did; `kept` are the texts that stay in it."""

    changes: list[Change] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)


class Cleaner:
    """Cleans the objects of one patient after the other with one identity."""

    def __init__(
        self, profile: Profile, identity: Identity, *, keep_characteristics: bool = False
    ) -> None:
        self._profile = profile
        self._identity = identity
        self._keep_characteristics = keep_characteristics

    def clean(self, dataset: Dataset, patient: str) -> Cleaned:
        """Change `dataset` in place; `patient` is what pseudonym and date shift are made from.

        Raises
        ------
        DamagedMediaError : sequences are nested absurdly deep
        """
        outcome = Cleaned()
        self._clean_level(dataset, "", self._identity.shift(patient), outcome)
        pseudonym = self._identity.pseudonym(patient)
        dataset.PatientName = pseudonym
        dataset.PatientID = pseudonym
        _limit_age(dataset)
        self._mark(dataset)
        return outcome

    def _clean_level(
        self, dataset: Dataset, place: str, shift: timedelta, outcome: Cleaned
    ) -> None:
        _check_depth(place.count("["))
        for tag in list(dataset.keys()):
            here = f"{place}({tag.group:04X},{tag.element:04X})"
            element = _readable(dataset, tag)
            if element is None:
                change = Change(here, "", "UN", Action.REMOVE, "unreadable value")
                outcome.changes.append(change)
                del dataset[tag]
                continue
            decision = self._decide(element)
            if not decision.kept:
                self._change(dataset, element, decision, here, shift, outcome)
            elif element.VR == "SQ":
                for number, item in enumerate(element.value or ()):
                    self._clean_level(item, f"{here}[{number}].", shift, outcome)
            elif element.VR in WORDS:
                outcome.kept.update(words_of(element))

    def _decide(self, element: Any) -> Decision:
        return self._profile.decide(element, keep_characteristics=self._keep_characteristics)

    def _change(
        self,
        dataset: Dataset,
        element: Any,
        decision: Decision,
        here: str,
        shift: timedelta,
        outcome: Cleaned,
    ) -> None:
        action = decision.action
        values = tuple(self._values(element))
        if action is Action.SHIFT:
            action = _shift(element, shift)
        elif action is Action.UID:
            _replace_uids(element, self._identity)
        elif action is Action.DUMMY:
            action = _replace(element)
        if action is Action.EMPTY:
            element.value = [] if element.VR == "SQ" else None
        elif action is Action.REMOVE:
            del dataset[element.tag]
        outcome.changes.append(
            Change(
                here,
                "" if element.tag.is_private else element.keyword,
                str(element.VR),
                action,
                decision.rule,
                values,
                _identifies(element),
            )
        )

    def _values(self, element: Any, depth: int = 0) -> Iterator[str]:
        """Texts that must not be found afterwards; of a sequence, those that have to go."""
        _check_depth(depth)
        if element.VR != "SQ":
            yield from words_of(element)
            return
        for item in element.value or ():
            for tag in list(item.keys()):
                inner = _readable(item, tag)
                if inner is not None and (inner.VR == "SQ" or not self._decide(inner).kept):
                    yield from self._values(inner, depth + 1)

    def _mark(self, dataset: Dataset) -> None:
        from pydicom.dataset import Dataset as NewDataset

        from vlmtool_medical import __version__

        methods = [*METHODS, DATES_METHOD]
        if self._keep_characteristics:
            methods.append(CHARACTERISTICS_METHOD)
        dataset.PatientIdentityRemoved = "YES"
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"
        dataset.DeidentificationMethod = [
            f"vlmtool-medical {__version__}",
            "PS3.15 E.1-1 basic profile, UIDs and dates consistent",
        ]
        items = []
        for code, meaning in methods:
            item = NewDataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
            items.append(item)
        dataset.DeidentificationMethodCodeSequence = items


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise DamagedMediaError(f"its sequences are nested more than {MAX_DEPTH} deep")


def _readable(dataset: Dataset, tag: Any) -> Any | None:
    """The element, or None when its value cannot be made out of its bytes."""
    try:
        return dataset[tag]
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError):
        return None


def words_of(element: Any) -> list[str]:
    """The values of an element as stripped text; none for numbers and binary values."""
    value = element.value
    if element.VR == "UN" and isinstance(value, bytes):
        text = value.decode("ascii", "ignore").strip("\0 ")
        return [text] if text.isprintable() and len(text) >= len(value) - 2 else []
    if element.VR not in WORDS or value is None:
        return []
    single = isinstance(value, str) or not hasattr(value, "__iter__") or element.VR == "PN"
    if element.VR == "PN" and not isinstance(value, str) and element.VM > 1:
        single = False
    values = [value] if single else list(value)
    return [text for text in (str(item).strip() for item in values) if text]


def _identifies(element: Any) -> bool:
    if element.VR in _IDENTIFYING_VRS:
        return True
    if element.tag.is_private or not element.keyword or element.keyword in _NOT_IDENTIFYING:
        return False
    if element.tag.group in _PATIENT_GROUPS:
        return True
    keyword = str(element.keyword)
    return element.tag.group != _DEVICE_GROUP and keyword.endswith(_IDENTIFYING_ENDS)


def _shift(element: Any, shift: timedelta) -> Action:
    """Shift all dates of an element; empty it when one of them is no date."""
    values = words_of(element)
    moved = [shift_date(value, shift) for value in values]
    whole = [value for value in moved if value is not None]
    if len(whole) != len(values) or not values:
        return Action.EMPTY
    element.value = whole if len(whole) > 1 else whole[0]
    return Action.SHIFT


def _replace_uids(element: Any, identity: Identity) -> None:
    uids = [
        uid if uid.startswith(WELL_KNOWN_UIDS) else identity.uid(uid) for uid in words_of(element)
    ]
    element.value = uids if len(uids) > 1 else (uids[0] if uids else None)


def _replace(element: Any) -> Action:
    """Put a dummy value of the same representation in; remove what has none."""
    if element.VR in TEXT | {"PN", "CS"} and element.VR != "UR":
        element.value = DUMMY
        return Action.DUMMY
    if element.VR in _NUMBERS:
        element.value = 0
        return Action.DUMMY
    return Action.REMOVE


def _limit_age(dataset: Dataset) -> None:
    """Ages above 89 years become 90 (45 CFR 164.514), where ages are kept at all."""
    age = str(dataset.get("PatientAge", "") or "")
    if age.endswith("Y") and age[:-1].isdigit() and int(age[:-1]) > 89:
        dataset.PatientAge = "090Y"
