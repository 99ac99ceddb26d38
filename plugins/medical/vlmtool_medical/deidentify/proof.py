"""The proof: searches what was written for everything that was taken out.

Decoded values are searched for every removed text of three characters or more, as a whole word
and whatever its case. The bytes of the file are searched too, from five characters on (shorter
ones stand in binary numbers by chance), and the pixel data from six on if there is a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmtool_medical.deidentify.cleaning import DUMMY, WORDS, Change, words_of
from vlmtool_medical.deidentify.profile import is_well_known

SHORTEST = 3
SHORTEST_IN_BYTES = 5
SHORTEST_IN_PIXELS = 6
# Written by the cleaner itself; checked for being just that in place of being searched.
_WRITTEN = frozenset(
    {
        "PatientIdentityRemoved",
        "LongitudinalTemporalInformationModified",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "ImplementationVersionName",
        "SpecificCharacterSet",
    }
)
# Their values are terms that machines set (PS3.3 C.7.6.1.1.2); one may be part of a name by chance.
_MACHINE_SET = frozenset({"ImageType", "FrameType"})
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True)
class Leak:
    """A removed value that is still there. `place` : the element, or where in the file."""

    file: str
    place: str
    removed_from: str


def terms_of(changes: Iterable[Change], kept: Iterable[str]) -> dict[str, str]:
    """Texts to search for -> the attribute that each was taken from.

    A describing text that also stands in an element which stays is no leak: the profile lets
    that element stay ("CHEST" as study description and as body part).
    """
    stays = " ".join(kept).casefold()
    terms: dict[str, str] = {}
    for change in changes:
        source = change.keyword or change.rule
        for value in change.values:
            for term in _parts(value, change.vr):
                if len(term) < SHORTEST or term.upper() == DUMMY:
                    continue
                if change.identifying or term.casefold() not in stays:
                    terms.setdefault(term, source)
    return terms


def _parts(value: str, vr: str) -> Iterator[str]:
    yield value
    if vr == "PN":
        yield from (part for part in re.split(r"[\^=\s,]+", value) if part)


def search(path: Path, name: str, terms: dict[str, str], written: Iterable[str] = ()) -> list[Leak]:
    """Every term that is found in the file, in its decoded values, its bytes or its name.

    written : stand-ins that the cleaner put in (pseudonyms), which are no leaks
    """
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    pattern = _pattern(terms)
    own = {text.casefold() for text in (*written, DUMMY)}
    leaks: list[Leak] = []
    machine_set: list[str] = []
    for place, element in _elements(dataset.file_meta, dataset):
        if element.keyword in _MACHINE_SET:
            machine_set += words_of(element)
            continue
        for text in _searched(element):
            if text.casefold() not in own:
                leaks += [Leak(name, place, terms[found]) for found in _found(pattern, text, terms)]
    leaks += [Leak(name, "file name", terms[t]) for t in _found(pattern, name, terms)]
    leaks += _search_bytes(path, name, dataset, terms, machine_set)
    return leaks


def _pattern(terms: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(terms, key=len, reverse=True)
    if not longest_first:
        return None
    choices = "|".join(re.escape(term) for term in longest_first)
    return re.compile(rf"(?<![^\W_])(?:{choices})(?![^\W_])", re.IGNORECASE)


def _found(pattern: re.Pattern[str] | None, text: str, terms: dict[str, str]) -> list[str]:
    if pattern is None:
        return []
    by_case = {term.casefold(): term for term in terms}
    return [by_case[match.casefold()] for match in set(pattern.findall(text))]


def _elements(*datasets: Any) -> Iterator[tuple[str, Any]]:
    for dataset in datasets:
        for element in dataset:
            place = element.keyword or str(element.tag)
            if element.keyword in _WRITTEN:
                continue
            if element.VR == "SQ":
                for inner_place, inner in _elements(*(element.value or ())):
                    yield f"{place}.{inner_place}", inner
            else:
                yield place, element


def _searched(element: Any) -> list[str]:
    """Texts of an element; registered UIDs and plain numbers are not anyone's."""
    if element.VR == "UI" and is_well_known(element.value):
        return []
    if element.VR in WORDS or element.VR == "UN":
        return words_of(element)
    return []


def _search_bytes(
    path: Path, name: str, dataset: Any, terms: dict[str, str], machine_set: list[str]
) -> list[Leak]:
    data = path.read_bytes()
    pixels = b""
    for keyword in _PIXELS:
        if keyword in dataset:
            pixels = bytes(dataset[keyword].value or b"")
    start = data.rfind(pixels) if pixels else len(data)
    around = data[:start] + b"\0" + data[start + len(pixels) :] if start >= 0 else data
    leaks = []
    for term, source in terms.items():
        if len(term) < SHORTEST_IN_BYTES:
            continue
        expected = sum(text.count(term) for text in machine_set)
        if _count(around, term, dataset) > expected:
            leaks.append(Leak(name, "bytes of the file", source))
        lettered = any(character.isalpha() for character in term)
        if len(term) >= SHORTEST_IN_PIXELS and lettered and _count(pixels, term, dataset):
            leaks.append(Leak(name, "pixel data", source))
    return leaks


def _count(data: bytes, term: str, dataset: Any) -> int:
    """How often the term stands in the bytes, in the encoding that finds it most often."""
    counts = [0]
    for encoding in _encodings(dataset):
        try:
            needle = term.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            continue
        if term.isdigit():
            # Digits inside longer numbers (UIDs) are other numbers.
            pattern = rb"(?<!\d)" + re.escape(needle) + rb"(?!\d)"
            counts.append(len(re.findall(pattern, data)))
        else:
            counts.append(data.count(needle))
    return max(counts)


def _encodings(dataset: Any) -> set[str]:
    from pydicom.charset import convert_encodings

    names = dataset.get("SpecificCharacterSet", None)
    try:
        own = convert_encodings(names) if names else []
    except (LookupError, ValueError):
        own = []
    return {"utf-8", "latin-1", *own}
