"""What a person typed, made safe for a model's prompt: no token of the model's own in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vlmtool_core.errors import UsageError


def plain_text(text: str, tokenizer: Any, *, also: Iterable[str] = ()) -> str:
    """The text with every token that has a meaning of its own to the model broken by a space:
    `<image>` becomes `< image>`, which is read as these characters.

    Parameters
    ----------
    tokenizer : of transformers
    also : other strings that the model's processor gives a meaning
    """
    marks = {str(token) for token in (*tokenizer.all_special_tokens, *also)}
    marks |= {token for token in tokenizer.get_added_vocab() if token[:1] in "<[" and token[1:]}
    marks = {mark for mark in marks if len(mark) > 1}
    if not marks:
        return text
    pattern = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
    return re.sub(pattern, lambda m: f"{m[0][0]} {m[0][1:]}", text, flags=re.IGNORECASE)


def require_readable(text: str, tokenizer: Any, field: str) -> int:
    """How many tokens a prompt or a question has.

    Raises
    ------
    UsageError : it is empty, or in a script of which the tokenizer reads no word.
    """
    if not text.strip():
        raise UsageError(f"the {field} is empty", field=field, remedy="Write one, or leave it out.")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    unknown = tokenizer.unk_token_id
    if not ids or (unknown is not None and all(token == unknown for token in ids)):
        raise UsageError(
            f"the model reads no word of the {field}",
            field=field,
            remedy="Write it in a language that the model was trained on, usually English.",
        )
    return len(ids)


def require_room(tokens: int, most: int, field: str) -> None:
    """Raise `UsageError` unless a prompt of so many tokens fits in the model."""
    if tokens > most:
        raise UsageError(
            f"the {field} is too long: {tokens} tokens, this model takes {most}",
            field=field,
            remedy="Shorten it.",
        )
