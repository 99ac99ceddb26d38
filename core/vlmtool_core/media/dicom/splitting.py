"""Splits a series to stacks as a radiology viewer does: what one stack may hold, rule by rule.

First by what the slices of one stack have in common (`TRAITS`), then, where several pictures lie
at one place, by what tells them apart (`MOMENTS`), so that every stack is a volume or a loop.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmtool_core.media.dicom.header import number, numbers, text
from vlmtool_core.media.dicom.slices import Slice, b_value, places_of
from vlmtool_core.records import natural_key

CT, MR, NUCLEAR = frozenset({"CT"}), frozenset({"MR"}), frozenset({"PT", "NM"})
_ORIENTATION_DIGITS = 3
_MOST_LABEL_CHARS = 60

Part = tuple[tuple[str, ...], Sequence[Slice]]  # labels, and the slices they belong to
Parts = Mapping[Hashable, Sequence[Slice]]


@dataclass(frozen=True)
class Rule:
    """One reason to split.

    key : tells the rules apart; label : goes in front of the value in a stack's label
    modalities : those it concerns, empty for all
    strict : it splits even if single pictures are left; what another rule reads may as well
        vary along one stack
    listed : a text of several words, of which only those that differ are told
    numbered : values that mean nothing to a reader are counted instead
    """

    key: str
    label: str
    read: Callable[[Any], Hashable]
    modalities: frozenset[str] = frozenset()
    strict: bool = False
    listed: bool = False
    numbered: bool = False

    def concerns(self, modality: str) -> bool:
        return not self.modalities or modality in self.modalities


@dataclass(frozen=True)
class Stack:
    """Slices that belong together, in no order yet.

    series : counts, from 1, what one series has of parallel slices of one size; 0 for what is
        a single picture
    label : what sets it apart from the other stacks of its series, "" when it is the only one
    """

    slices: tuple[Slice, ...]
    series: int
    label: str = ""


def _rounded(keyword: str, digits: int) -> Callable[[Any], Hashable]:
    def read(dataset: Any) -> Hashable:
        value = number(dataset, keyword)
        return None if value is None else round(value, digits) + 0.0

    return read


def _words(keyword: str) -> Callable[[Any], Hashable]:
    return lambda dataset: " ".join(text(dataset, keyword).split())


def _b(dataset: Any) -> Hashable:
    value = b_value(dataset)
    return None if value is None else round(value)


def _contrast(dataset: Any) -> Hashable:
    # Its name is free text that changes in spelling; that it was given is what matters.
    return "with contrast" if text(dataset, "ContrastBolusAgent") else "without contrast"


def _direction(dataset: Any) -> Hashable:
    return tuple(round(v, 3) + 0.0 for v in numbers(dataset, "DiffusionGradientOrientation"))


TRAITS = (
    Rule("study", "study", _words("StudyInstanceUID"), numbered=True),
    Rule("class", "class", _words("SOPClassUID"), strict=True, numbered=True),
    # Localizers, projections, magnitude and phase, water and fat.
    Rule("type", "", _words("ImageType"), strict=True, listed=True),
    Rule("frame", "frame of reference", _words("FrameOfReferenceUID"), numbered=True),
    Rule("contrast", "", _contrast, strict=True),
    Rule("kernel", "kernel", _words("ConvolutionKernel"), CT, strict=True),
    Rule("tilt", "tilt", _rounded("GantryDetectorTilt", 1), CT),
    Rule("sequence", "sequence", _words("ScanningSequence"), MR, strict=True),
    Rule("variant", "variant", _words("SequenceVariant"), MR, strict=True),
    Rule("options", "options", _words("ScanOptions"), MR, strict=True),
    Rule("TR", "TR", _rounded("RepetitionTime", 1), MR),
    Rule("TE", "TE", _rounded("EchoTime", 2), MR),
    Rule("TI", "TI", _rounded("InversionTime", 1), MR),
    Rule("flip", "flip", _rounded("FlipAngle", 1), MR),
    Rule("b", "b", _b, MR),
)
MOMENTS = (
    Rule("time", "time", _rounded("TemporalPositionIdentifier", 0)),
    Rule("phase", "phase", _rounded("NominalPercentageOfCardiacPhase", 1)),
    Rule("trigger", "trigger", _rounded("TriggerTime", 1)),
    Rule("direction", "direction", _direction, MR, numbered=True),
    Rule("reference", "time", _rounded("FrameReferenceTime", 1), NUCLEAR, numbered=True),
    Rule("acquisition", "acquisition", _rounded("AcquisitionNumber", 0)),
    Rule("clock", "time", _words("AcquisitionTime"), numbered=True),
)


def split(slices: Iterable[Slice]) -> list[Stack]:
    """Stacks in order of their first file's name; what is no slice stands alone.

    The result does not depend on the order of `slices`.
    """
    series: dict[Hashable, list[Slice]] = defaultdict(list)
    alone: list[Slice] = []
    for item in slices:
        if item.stackable:
            series[item.series, item.modality, item.size].append(item)
        else:
            alone.append(item)
    groups = [part for members in series.values() for part in _by_orientation(members)]
    groups += [[item] for item in alone]
    groups.sort(key=_first_name)
    found: list[Stack] = []
    count = 0
    for group in groups:
        count += len(group) > 1
        number = count if len(group) > 1 else 0
        found += [Stack(tuple(part), number, label) for label, part in _parts_of(group)]
    return sorted(found, key=lambda stack: _first_name(stack.slices))


def _first_name(slices: Sequence[Slice]) -> Any:
    return min(natural_key(str(item.path)) for item in slices)


def _by_orientation(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that are parallel but for what rounding does to direction cosines."""
    rounded: dict[tuple[float, ...], list[Slice]] = defaultdict(list)
    for item in slices:
        rounded[tuple(round(v, _ORIENTATION_DIGITS) + 0.0 for v in item.axes)].append(item)
    tolerance = 1.5 * 10**-_ORIENTATION_DIGITS
    groups: list[tuple[list[tuple[float, ...]], list[Slice]]] = []
    for axes in sorted(rounded):
        near = [g for g in groups if any(_close(axes, other, tolerance) for other in g[0])]
        merged = ([axes], rounded[axes])
        for group in near:
            groups.remove(group)
            merged = (group[0] + merged[0], group[1] + merged[1])
        groups.append(merged)
    return [members for _, members in groups]


def _close(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= tolerance for a, b in zip(one, other, strict=True)
    )


def _parts_of(group: Sequence[Slice]) -> list[tuple[str, Sequence[Slice]]]:
    parts: list[Part] = [((), group)]
    for rule in TRAITS:
        parts = [more for part in parts for more in _split_by_trait(rule, *part)]
    parts = [more for part in parts for more in _split_by_moments(*part)]
    if len(parts) == 1:
        return [("", group)]
    return [(_joined(labels), part) for labels, part in parts]


def _joined(labels: Sequence[str]) -> str:
    """Plain characters only: the label becomes part of names, and of files named after them."""
    plain = re.sub(r"[^0-9A-Za-z_.+ ,-]+", "-", ", ".join(label for label in labels if label))
    return plain[:_MOST_LABEL_CHARS].strip(" ,.-")


def _split_by_trait(rule: Rule, labels: tuple[str, ...], part: Sequence[Slice]) -> list[Part]:
    if len(part) < 2:
        return [(labels, part)]
    found = _by_value(part, [item.traits.get(rule.key) for item in part])
    if len(found) < 2 or not (rule.strict or _is_stacks(part, found)):
        return [(labels, part)]
    names = _labels(rule, list(found))
    return [((*labels, names[value]), some) for value, some in found.items()]


def _is_stacks(part: Sequence[Slice], found: Parts) -> bool:
    """Whether the values make up stacks rather than vary from slice to slice."""
    places = places_of(part)
    apart = places is None or len(set(places.values())) == len(part)
    return len(part) >= 4 * len(found) if apart else _helps(found, places or {})


def _split_by_moments(labels: tuple[str, ...], part: Sequence[Slice]) -> list[Part]:
    """Tell pictures of one place apart, until every part is a volume or nothing helps."""
    places = places_of(part)
    if places is None or len(set(places.values())) in (1, len(part)):
        return [(labels, part)]
    for rule in MOMENTS:
        found = _by_value(part, [item.moments.get(rule.key) for item in part])
        if len(found) > 1 and _helps(found, places):
            names = _labels(rule, list(found))
            parts = [((*labels, names[value]), some) for value, some in found.items()]
            return [more for each in parts for more in _split_by_moments(*each)]
    rounds = _rounds(part, places)
    if len(rounds) == 1:
        return [(labels, part)]
    return [((*labels, f"repeat {n}"), some) for n, some in enumerate(rounds, 1)]


def _helps(found: Parts, places: Mapping[Path, int]) -> bool:
    """Whether fewer pictures share a place, and most parts reach over half of all places."""
    total = sum(len(some) for some in found.values())
    covered = [len({places[item.path] for item in some}) for some in found.values()]
    everywhere = len(set(places.values()))
    wide = sum(2 * count >= everywhere for count in covered)
    fewer = total - sum(covered) < total - everywhere
    return total >= 2 * len(found) and 2 * wide >= len(found) and fewer


def _rounds(part: Sequence[Slice], places: Mapping[Path, int]) -> list[Sequence[Slice]]:
    """The first, second, ... picture of every place, where all have equally many.

    Copies of one object are no repeats; then, and with places left out, the part stays whole.
    """
    at: dict[int, list[Slice]] = defaultdict(list)
    for item in part:
        at[places[item.path]].append(item)
    counts = {len(some) for some in at.values()}
    copied = any(len({item.uid for item in some}) < len(some) for some in at.values())
    if len(counts) > 1 or copied:
        return [part]
    for some in at.values():
        some.sort(key=lambda item: (item.instance, item.uid))
    return [list(each) for each in zip(*at.values(), strict=True)]


def _by_value(part: Sequence[Slice], values: Sequence[Hashable]) -> Parts:
    found: dict[Hashable, list[Slice]] = defaultdict(list)
    for item, value in zip(part, values, strict=True):
        found[value].append(item)
    return {value: found[value] for value in sorted(found, key=_value_order)}


def _value_order(value: Any) -> tuple[bool, Any]:
    """What is not stated comes first."""
    return value is not None, 0 if value is None else value


def _labels(rule: Rule, values: Sequence[Hashable]) -> Mapping[Hashable, str]:
    """What each value is called."""
    if rule.numbered:
        return {value: f"{rule.label} {count}" for count, value in enumerate(values, 1)}
    if rule.listed:
        return _telling_words(values)
    return {value: f"{rule.label} {_shown(value)}".strip() for value in values}


def _shown(value: Hashable) -> str:
    if value in (None, ""):
        return "none"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _telling_words(values: Sequence[Hashable]) -> Mapping[Hashable, str]:
    words = {value: str(value).split() for value in values}
    counts = Counter(word for some in words.values() for word in set(some))
    told: dict[Hashable, str] = {}
    for nth, (value, some) in enumerate(words.items(), 1):
        telling = " ".join(word for word in some if counts[word] < len(values))
        told[value] = telling if telling and telling not in told.values() else f"type {nth}"
    return told
