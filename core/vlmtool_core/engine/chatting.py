"""Conversations with a loaded model: what may be said, and how one ends that was stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.runtime.guarding import as_engine_error, problem_of
from vlmtool_core.engine.texts.answers import AnswerShape, validated
from vlmtool_core.errors import CancelledError, UsageError, VlmtoolError
from vlmtool_core.records import ChatTurn, Outcome, OutcomeStatus

MOST_PICTURES = 64
MOST_TURNS = 200
_ROLES = ("user", "assistant", "system")

log = logging.getLogger(__name__)


def check_turns(turns: Sequence[ChatTurn]) -> None:
    """Raise unless somebody could answer.

    Raises
    ------
    UsageError : no turns or too many, the last one not the user's or empty, pictures in a turn
        that is not the user's, or more than 64 of them.
    """
    if not 1 <= len(turns) <= MOST_TURNS:
        raise UsageError(f"expected 1 to {MOST_TURNS} turns, got {len(turns)}", field="turns")
    for number, turn in enumerate(turns):
        where = f"turns[{number}]"
        if turn.role not in _ROLES:
            known = ", ".join(_ROLES)
            raise UsageError(f"expected one of {known}, got {turn.role!r}", field=f"{where}.role")
        if turn.frames and turn.role != "user":
            raise UsageError("only the user shows pictures", field=f"{where}.frames")
    if turns[-1].role != "user" or not turns[-1].text.strip():
        raise UsageError("the last turn must be a question of the user", field="turns")
    pictures = sum(len(turn.frames) for turn in turns)
    if pictures > MOST_PICTURES:
        raise UsageError(
            f"at most {MOST_PICTURES} pictures fit in one conversation, got {pictures}",
            field="turns",
            remedy="Ask about fewer pictures at once.",
        )


def converse(
    family: Family,
    turns: Sequence[ChatTurn],
    answer: AnswerShape | None,
    most_tokens: int | None,
    on_text: Callable[[str], None] | None,
) -> Outcome:
    """What the model says next; `turns` have passed `check_turns`.

    Raises
    ------
    UsageError : the model cannot hold this conversation.
    """
    for frame in (frame for turn in turns for frame in turn.frames):
        problem = problem_of(frame)
        if problem is not None:
            return problem
    try:
        outcome = family.chat(turns, answer=answer, most_tokens=most_tokens, on_text=on_text)
    except CancelledError:
        return Outcome(OutcomeStatus.CANCELLED, text="")
    except VlmtoolError as error:
        if error.exit_code != 1:  # the call is wrong, or something is missing
            raise
        return Outcome.failed(error)
    except Exception as error:
        log.exception("a conversation failed")
        return Outcome.failed(as_engine_error(error))
    return validated(outcome, answer)
