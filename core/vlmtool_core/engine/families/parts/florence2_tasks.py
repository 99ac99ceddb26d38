"""The tasks of Florence-2: the token that asks for each, what it needs, and what it gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from vlmtool_core.errors import UsageError


class Needs(Enum):
    """What must stand behind a task's token; a task that needs nothing must stand alone."""

    NOTHING = ""
    PHRASE = "words"
    REGION = "a region x1, y1, x2, y2 in pixels"


class Gives(Enum):
    TEXT = "text"
    BOXES = "boxes with words"
    LINES = "lines of text with their four corners"
    OUTLINES = "outlines"


@dataclass(frozen=True, slots=True)
class FlorenceTask:
    """One task; `names` are what a person may call it in a prompt, the first in messages."""

    token: str
    names: tuple[str, ...]
    needs: Needs
    gives: Gives


_N, _P, _R = Needs.NOTHING, Needs.PHRASE, Needs.REGION
TASKS = (
    FlorenceTask("<CAPTION>", ("caption", "short"), _N, Gives.TEXT),
    FlorenceTask("<DETAILED_CAPTION>", ("detailed",), _N, Gives.TEXT),
    FlorenceTask("<MORE_DETAILED_CAPTION>", ("more detailed",), _N, Gives.TEXT),
    FlorenceTask("<OD>", ("objects", "object detection"), _N, Gives.BOXES),
    FlorenceTask("<DENSE_REGION_CAPTION>", ("dense regions", "dense"), _N, Gives.BOXES),
    FlorenceTask("<REGION_PROPOSAL>", ("regions",), _N, Gives.BOXES),
    FlorenceTask("<OCR>", ("text",), _N, Gives.TEXT),
    FlorenceTask("<OCR_WITH_REGION>", ("lines",), _N, Gives.LINES),
    FlorenceTask("<CAPTION_TO_PHRASE_GROUNDING>", ("ground", "grounding"), _P, Gives.BOXES),
    FlorenceTask("<OPEN_VOCABULARY_DETECTION>", ("find",), _P, Gives.BOXES),
    FlorenceTask("<REFERRING_EXPRESSION_SEGMENTATION>", ("outline",), _P, Gives.OUTLINES),
    FlorenceTask("<REGION_TO_SEGMENTATION>", ("outline region",), _R, Gives.OUTLINES),
    FlorenceTask("<REGION_TO_CATEGORY>", ("name region",), _R, Gives.TEXT),
    FlorenceTask("<REGION_TO_DESCRIPTION>", ("describe region",), _R, Gives.TEXT),
    FlorenceTask("<REGION_TO_OCR>", ("read region",), _R, Gives.TEXT),
)
BY_TOKEN = {task.token: task for task in TASKS}
CAPTION, OBJECTS, FIND = (
    BY_TOKEN["<CAPTION>"],
    BY_TOKEN["<OD>"],
    BY_TOKEN["<OPEN_VOCABULARY_DETECTION>"],
)
TEXT, LINES = BY_TOKEN["<OCR>"], BY_TOKEN["<OCR_WITH_REGION>"]

_TOKEN = re.compile(r"\s*(<[A-Za-z_]+>)\s*(.*)", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def task_of_prompt(prompt: str) -> tuple[FlorenceTask, str]:
    """The task that a prompt names, and what stands behind its name.

    A prompt is a token ("<MORE_DETAILED_CAPTION>", "<OPEN_VOCABULARY_DETECTION> a cat") or a name
    ("more detailed", "find: a cat"); case, hyphens and underscores make no difference.

    Raises
    ------
    UsageError : it names no task, or the task needs more or less than what stands behind it.
    """
    named = _TOKEN.fullmatch(prompt)
    name, rest = (named[1], named[2]) if named else _parted(prompt)
    task = _by_name().get(_key(name))
    if task is None:
        names = ", ".join(task.names[0] for task in TASKS)
        raise UsageError(
            f"Florence-2 follows no free prompt, and has no task {name.strip()!r}",
            field="prompt",
            remedy=f"Name one of its tasks: {names}.",
        )
    _check_needs(task, rest.strip())
    return task, rest.strip()


def _parted(prompt: str) -> tuple[str, str]:
    name, _, rest = prompt.partition(":")
    return name, rest


def _by_name() -> dict[str, FlorenceTask]:
    return {_key(name): task for task in TASKS for name in (task.token, *task.names)}


def _key(name: str) -> str:
    return " ".join(re.sub(r"[<>_-]", " ", name).casefold().split())


def _check_needs(task: FlorenceTask, given: str) -> None:
    if task.needs is Needs.NOTHING and given:
        raise UsageError(
            f"the task {task.names[0]!r} takes nothing more, got {given[:40]!r}",
            field="prompt",
            remedy=f"Write only: {task.names[0]}",
        )
    if task.needs is not Needs.NOTHING and not given:
        raise UsageError(
            f"the task {task.names[0]!r} needs {task.needs.value}",
            field="prompt",
            remedy=f"Write it behind a colon: {task.names[0]}: ...",
        )
    if task.needs is Needs.REGION:
        region_of(given)


def region_of(text: str) -> tuple[float, float, float, float]:
    """The box (x1, y1, x2, y2) that a text holds, in pixels.

    Raises
    ------
    UsageError : not four numbers, or no box.
    """
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if len(numbers) != 4 or not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise UsageError(
            f"expected a region, got {text[:40]!r}",
            field="prompt",
            remedy="Write x1, y1, x2, y2 in pixels, such as: 10, 20, 200, 120",
        )
    x1, y1, x2, y2 = numbers
    return x1, y1, x2, y2


def region_tokens(
    box: Sequence[float], size: tuple[int, int], bins: tuple[int, int] = (1000, 1000)
) -> str:
    """A box in pixels of a (width, height) picture as place tokens, x1 y1 x2 y2."""
    places = []
    for n, value in enumerate(box):
        side, count = size[n % 2], bins[n % 2]
        places.append(min(max(int(value * count // side), 0), count - 1))
    return "".join(f"<loc_{place}>" for place in places)
