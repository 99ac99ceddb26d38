"""From bubbles to answers: joins fields, applies the key, and says what a person must look at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vlmtool_core.api import Box, Finding
from vlmtool_education.keys import Key, Verdict
from vlmtool_education.reading import FieldReading, State
from vlmtool_education.sheets import SheetReading
from vlmtool_education.template import Template

_QUESTION = re.compile(r"^(q|question)[ _-]?\d+$", re.IGNORECASE)
_WORST_FIRST = (State.UNCLEAR, State.FAINT, State.MULTIPLE, State.BLANK)
EXPLANATIONS = {
    State.UNCLEAR: "its bubbles cannot be seen well",
    State.FAINT: "a mark is faint, small or erased",
    State.MULTIPLE: "more than one bubble is marked",
    State.BLANK: "nothing is marked",
}


@dataclass(frozen=True)
class Answer:
    """A column of the result: what was read, how sure that is, and what it is worth.

    review : why a person must look at it, "" when nobody must
    verdict : None without a key, or for a column that the key does not ask for
    """

    name: str
    text: str
    state: State
    confidence: float
    fields: tuple[str, ...]
    review: str
    verdict: Verdict | None


@dataclass(frozen=True)
class GradedSheet:
    answers: tuple[Answer, ...]
    total: Fraction | None

    @property
    def to_review(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if answer.review)


def grade(
    reading: SheetReading, template: Template, key: Key | None, *, review_blank: bool = True
) -> GradedSheet:
    """Answers in the order of the template's columns, and the points as far as they are read.

    review_blank : a question without any mark goes to a person, too
    """
    answers = []
    for name, parts in template.outputs:
        fields = [reading.fields[part] for part in parts]
        question = key.questions.get(name) if key else None
        is_question = question is not None or _QUESTION.match(name) is not None
        state = _joined_state(fields, is_question)
        text = "".join(field.text for field in fields)
        blank = not any(any(field.marked) for field in fields)
        verdict = question.judge(text, blank=blank) if question else None
        expected = state is State.MULTIPLE and question is not None and text in question.answers
        silent = state is State.MARKED or expected
        silent = silent or (state is State.BLANK and is_question and not review_blank)
        review = "" if silent else EXPLANATIONS[state]
        confidence = min(field.confidence for field in fields)
        answers.append(Answer(name, text, state, confidence, parts, review, verdict))
    verdicts = [answer.verdict for answer in answers if answer.verdict is not None]
    total = sum((v.points for v in verdicts), Fraction(0)) if key else None
    return GradedSheet(tuple(answers), total)


def _joined_state(fields: list[FieldReading], is_question: bool) -> State:
    states = [field.state for field in fields]
    for state in _WORST_FIRST[:3]:
        if state in states:
            return state
    if State.BLANK not in states:
        return State.MARKED
    marked = [index for index, state in enumerate(states) if state is State.MARKED]
    if not marked:
        return State.BLANK
    # A number with fewer digits than boxes leaves outer boxes empty; an identity never does.
    gapless = marked[-1] - marked[0] + 1 == len(marked)
    return State.MARKED if is_question and gapless else State.BLANK


def bubble_finding(
    answer: Answer, reading: SheetReading, key: Key | None, path: str, frame: int, model: str
) -> Finding:
    """What a person decides on: the question with its bubbles, in pixels of the photograph."""
    corners = np.concatenate([reading.outlines(name).reshape(-1, 2) for name in answer.fields])
    width, height = reading.size
    x1, y1 = np.clip(corners.min(axis=0), 0, (width, height)).tolist()
    x2, y2 = np.clip(corners.max(axis=0), 0, (width, height)).tolist()
    label = answer.text or "blank"
    fields = [reading.fields[name] for name in answer.fields]
    question = key.questions.get(answer.name) if key else None
    data = {
        "question": answer.name,
        "read": answer.text,
        "state": answer.state.value,
        "alternatives": [list(field.field.values) for field in fields],
        "fills": [dict(zip(field.field.values, field.fills, strict=True)) for field in fields],
        "accepted": list(question.answers) if question else [],
        "points": None if answer.verdict is None else str(answer.verdict.points),
    }
    return Finding(
        kind="bubble",
        title=f"{answer.name}: {answer.review}; read {label}",
        path=path,
        score=answer.confidence,
        label=label,
        frame=frame,
        box=Box(x1, y1, x2, y2, label, answer.confidence),
        model=model,
        data=data,
    )
