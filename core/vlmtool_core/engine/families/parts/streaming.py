"""Text while it is written: pieces that join to exactly what the model says in the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from transformers.generation.streamers import BaseStreamer

_UNFINISHED = "\ufffd"  # what the first bytes of a character are decoded to
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def byte_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids of SentencePiece's single bytes: a run of them is decoded as a whole."""
    return frozenset(n for name, n in tokenizer.get_vocab().items() if _BYTE.fullmatch(name))


class TextPieces(BaseStreamer):  # type: ignore[misc]
    """Given to `generate`, which calls it with the prompt and then with every token.

    decode : tokens to text, without space around it
    open_ended : ids of tokens whose text the next token may still change
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        on_text: Callable[[str], None],
        open_ended: Collection[int] = (),
    ) -> None:
        self._decode = decode
        self._open_ended = frozenset(open_ended)
        self._on_text = on_text
        self._tokens: list[int] | None = None
        self._told = ""

    def put(self, value: Any) -> None:
        """int64 (1, t) of the prompt, then (1,) of one new token."""
        if self._tokens is None:
            self._tokens = []
            return
        self._tokens += value.tolist()
        if self._tokens[-1] in self._open_ended:
            return
        text = self._decode(self._tokens)
        if not text.endswith(_UNFINISHED):
            self._tell(text)

    def end(self) -> None:
        """All is written: tell what was held back."""
        self._tell(self._decode(self._tokens or []))

    def _tell(self, text: str) -> None:
        if len(text) > len(self._told) and text.startswith(self._told):
            piece, self._told = text[len(self._told) :], text
            self._on_text(piece)
