"""Which recognised lines are text: eyes, cups and knobs are read as "0" or "8" too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The least score by the number of distinct letters and digits: a line's score is the mean over
# its characters, so the fewer there are, the less a score proves. Over photographs without text
# single characters reach 0.85 at most; printed ones start at 0.94.
_LEAST_SCORES = (0.9, 0.8, 0.7, 0.6)
# A character taller than this part of the picture, with no other text around, is a thing.
_THING_HEIGHT = 0.125


@dataclass(frozen=True, slots=True)
class Reading:
    """A recognised line.

    score : mean over its characters, 0 to 1
    height : of its box, as a part of the picture's height
    """

    text: str
    score: float
    height: float


def text_lines(readings: Sequence[Reading]) -> list[int]:
    """Indices of the readings that are text.

    A line of few distinct letters or digits ("0", "0000") must be recognised with a higher
    score; punctuation alone counts as one. A single character that is taller than an eighth of
    the picture and stands alone in it is not text.
    """
    sure = [n for n, reading in enumerate(readings) if reading.score >= _least_score(reading.text)]
    if len(sure) == 1 and _is_thing(readings[sure[0]]):
        return []
    return sure


def _least_score(text: str) -> float:
    return _LEAST_SCORES[min(_distinct(text), len(_LEAST_SCORES)) - 1]


def _distinct(text: str) -> int:
    return max(1, len({character for character in text.casefold() if character.isalnum()}))


def _is_thing(reading: Reading) -> bool:
    return len(reading.text.strip()) == 1 and reading.height > _THING_HEIGHT
