"""Which kind of question is asked: patterns in a registry, no ladder; the rest cannot be told."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlmtool_core.engine.texts import wording
from vlmtool_core.engine.texts.evidence import Known
from vlmtool_core.records import Evidence, Label, Outcome, OutcomeStatus

CANNOT_TELL = "This model cannot tell."


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking for some labels in a picture gave.

    scores : probability of each label on its own; boxes : where, as evidence
    known : whether the starter's classes can express each label at all
    """

    scores: dict[str, float]
    boxes: dict[str, tuple[Evidence, ...]]
    known: dict[str, bool]


# Looks for labels in the frame that is asked about.
LookFor = Callable[[Sequence[Label]], Looked]
Answer = Callable[[re.Match[str], Known, LookFor], Outcome]
_ROUTES: list[tuple[re.Pattern[str], Answer]] = []

_THING = r"(?:an? |the |any |some )?(?P<thing>[\w' -]{1,40}?)"
_HERE = (
    r"(?: (?:in|on|visible|shown|present|there|here)\b[\w ]*|"
    r" (?:you|one) (?:can )?see)?"
)
_YES, _NO = 0.7, 0.3


def route(pattern: str) -> Callable[[Answer], Answer]:
    """Register how questions of a form are answered; the first match wins."""

    def register(answer: Answer) -> Answer:
        _ROUTES.append((re.compile(pattern, re.IGNORECASE), answer))
        return answer

    return register


def answer_question(question: str, known: Known, look_for: LookFor) -> Outcome:
    """An answer with the evidence that it rests on, or that this model cannot tell."""
    asked = " ".join(question.strip().rstrip("?.! ").split())
    for pattern, answer in _ROUTES:
        match = pattern.fullmatch(asked)
        if match:
            return answer(match, known, look_for)
    return cannot_tell()


def cannot_tell() -> Outcome:
    return Outcome(OutcomeStatus.OK, text=CANNOT_TELL)


def _told(text: str, evidence: Sequence[Evidence]) -> Outcome:
    return Outcome(OutcomeStatus.OK, text=text, evidence=tuple(evidence))


@route(
    r"(?:what|which) (?:does|do|is|text|words?|writing|letters?|numbers?|did)\b.*"
    r"\b(?:say|says|written|read|reads|text|words|writing|printed)\b.*"
    r"|(?:read|transcribe)\b.*|what text\b.*"
)
def _read(_match: re.Match[str], known: Known, _look: LookFor) -> Outcome:
    if not known.lines:
        return _told("No text was found.", ())
    return _told("\n".join(line.text for line in known.lines), known.lines)


@route(r"how many (?:human |people'?s? )?(?:faces|heads)\b.*")
def _count_faces(_match: re.Match[str], known: Known, _look: LookFor) -> Outcome:
    if "modality" in known.facts:
        return cannot_tell()
    count = len(known.faces)
    return _told(f"{wording.number_word(count)} {_plural(count)}.".capitalize(), known.faces)


@route(
    r"(?:is|are|can you see|do you see|does it show|does this show)"
    r" (?:there |it |this )?(?:an? |any )?(?:human |person's )?faces?\b.*"
)
def _any_faces(_match: re.Match[str], known: Known, _look: LookFor) -> Outcome:
    if "modality" in known.facts:
        return cannot_tell()
    count = len(known.faces)
    if not count:
        return _told("No face was found.", ())
    return _told(f"Yes: {wording.number_word(count)} {_plural(count)}.", known.faces)


def _plural(count: int) -> str:
    return "face" if count == 1 else "faces"


@route(r"(?:is|are) there (?:any )?(?:text|writing|words|letters)\b.*")
def _any_text(_match: re.Match[str], known: Known, _look: LookFor) -> Outcome:
    if not known.lines:
        return _told("No text was found.", ())
    return _told(f'Yes: "{known.lines[0].text}".', known.lines)


@route(r"(?:what|which) (?:is the )?(?:imaging )?(?P<fact>modality|body part|view|side)\b.*")
def _header_fact(match: re.Match[str], known: Known, _look: LookFor) -> Outcome:
    names = {"body part": "body_part", "side": "laterality"}
    name = match["fact"].lower()
    value = known.facts.get(names.get(name, name))
    if value is None:
        return cannot_tell()
    return _told(f"{wording.capital(value)}.", [Evidence("fact", f"{name}: {value}")])


@route(
    rf"(?:is|are) (?:it|this|that|these|there) {_THING} or "
    rf"(?:an? |the )?(?P<other>[\w' -]{{1,40}}?){_HERE}"
)
def _either(match: re.Match[str], known: Known, look_for: LookFor) -> Outcome:
    names = [match["thing"], match["other"]]
    looked = _photograph(known, look_for, names)
    if looked is None or not all(looked.known.values()):
        return cannot_tell()
    best, other = sorted(names, key=lambda name: -looked.scores[name])
    if looked.scores[best] < 0.5 or looked.scores[best] - looked.scores[other] < 0.2:
        return cannot_tell()
    return _told(f"{wording.capital(wording.with_article(best))}.", _support(looked, best))


@route(
    rf"(?:is|are) (?:there|this|it|that|these) {_THING}{_HERE}"
    rf"|(?:can you|do you|can one) see {_THING.replace('thing', 'seen')}{_HERE}"
    rf"|does (?:it|this|the (?:picture|image|photo)) (?:show|contain|have) "
    rf"{_THING.replace('thing', 'shown')}{_HERE}"
)
def _is_there(match: re.Match[str], known: Known, look_for: LookFor) -> Outcome:
    thing = match["thing"] or match["seen"] or match["shown"]
    looked = _photograph(known, look_for, [thing])
    if looked is None or not looked.known[thing]:
        return cannot_tell()
    score = looked.scores[thing]
    if score >= _YES:
        return _told(f"Yes, probably {wording.with_article(thing)}.", _support(looked, thing))
    if score <= _NO:
        return _told(
            f"No sign of {wording.with_article(thing)} was found.", [Evidence("tag", thing, score)]
        )
    return cannot_tell()


def _photograph(known: Known, look_for: LookFor, names: Sequence[str]) -> Looked | None:
    """Look for these, unless the picture is none that the classes were made for."""
    return None if "modality" in known.facts else look_for([Label(name) for name in names])


def _support(looked: Looked, name: str) -> list[Evidence]:
    return [Evidence("tag", name, looked.scores[name]), *looked.boxes[name]]


@route(
    r"(?:what|which)(?:'s| is| are| does| do| can| kind| sort| object| animal| thing)\b"
    r"(?!.*\b(?:colou?r|why|doing|happening|time|year|size|wrong|diagnosis|name|mean)\b).*"
)
def _what(_match: re.Match[str], known: Known, _look: LookFor) -> Outcome:
    phrases = wording.phrases_of(known)
    if not phrases:
        return cannot_tell()
    evidence = [item for item in known.all if item.kind != "text"]
    return _told(f"{wording.template_sentence(phrases)}.", evidence)
