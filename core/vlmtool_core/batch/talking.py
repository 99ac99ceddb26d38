"""A conversation about frames of items: decoded as for a run, and served before every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vlmtool_core.batch.turns import Rank, turns_of
from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.errors import UsageError
from vlmtool_core.media import open_media
from vlmtool_core.records import ChatTurn, Frame, ItemRef, Outcome, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine


def frame_of(item: ItemRef, index: int, engine: Engine, model: str | None) -> Frame:
    """One frame of an item, at the size that the model wants; loads the model.

    Raises
    ------
    MediaError : the item cannot be opened or decoded.
    UsageError : it has no such frame.
    MissingPackError, PackIntegrityError, NotEnoughMemoryError
    """
    side = engine.decode_side(Task.ASK, model)
    with open_media(item.path, item.files) as source:
        try:
            return source.frame(index, max_side=side)
        except IndexError as error:
            count = source.info.frame_count
            raise UsageError(
                f"there is no frame {index}",
                path=item.path,
                field="frame",
                remedy=f"It has frames 0 to {count - 1}." if count else "Choose an earlier one.",
            ) from error


def talk(
    engine: Engine,
    turns: Sequence[ChatTurn],
    *,
    model: str | None = None,
    answer: AnswerShape | None = None,
    max_tokens: int | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Outcome:
    """`Engine.chat`, before whatever nobody waits for.

    Raises
    ------
    UsageError, MissingPackError, TaskNotServedError
    """
    with turns_of(engine).take(Rank.TALK):
        return engine.chat(
            turns, model=model, answer=answer, max_tokens=max_tokens, on_text=on_text
        )
