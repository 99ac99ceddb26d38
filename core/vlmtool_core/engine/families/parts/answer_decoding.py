"""Decoding that can only end in an answer of the asked form: a grammar over the model's tokens.

The grammar and the tokens' texts are the library llguidance's; it knows byte-level and
SentencePiece vocabularies, and a token is allowed only if its bytes keep the answer valid.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from vlmtool_core.engine.texts.answer_schema import bounded
from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.engine.texts.prompt_text import plain_text
from vlmtool_core.errors import InferenceError, UsageError

_LAYOUT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def check_wording(shape: AnswerShape, tokenizer: Any) -> None:
    """Raise unless every option and name of the form is plain text to the model.

    Raises
    ------
    UsageError : one holds a token with a meaning of its own, such as `<image>`.
    """
    for text in shape.choices or (shape.schema,):
        if plain_text(text, tokenizer) != text:
            raise UsageError(
                f"the form of the answer holds what this model takes for a command: {text[:80]!r}",
                field="answer",
                remedy="Leave out words in <> or [] from options and names.",
            )


class AnswerGrammars:
    """Makes constraints for one tokenizer.

    tokenizer : a fast tokenizer of transformers
    ends : ids of the tokens that end a text
    vocabulary : how many scores the model gives per step

    Raises
    ------
    InferenceError : a tokenizer whose tokens cannot be spelled as bytes.
    """

    def __init__(self, tokenizer: Any, ends: Collection[int], vocabulary: int) -> None:
        import llguidance.hf

        known = max(tokenizer.get_vocab().values()) + 1
        try:
            self._tokens = llguidance.hf.from_tokenizer(
                tokenizer, n_vocab=max(vocabulary, known), eos_token=sorted(ends)
            )
        except ValueError as error:
            raise InferenceError(f"the form of the answer cannot be kept: {error}") from error
        self._ends = frozenset(ends)

    def constraint(self, shape: AnswerShape) -> AnswerConstraint:
        """Of one call of `generate`."""
        return AnswerConstraint(self._tokens, _grammar(shape), self._ends)


class AnswerConstraint(LogitsProcessor):
    """Leaves each row of a batch only the tokens with which its answer can go on.

    Raises
    ------
    InferenceError : the grammar does not compile, or no token of this vocabulary can go on.
    """

    def __init__(self, tokens: Any, grammar: str, ends: Collection[int]) -> None:
        import llguidance

        first = llguidance.LLMatcher(tokens, grammar)
        _check(first)
        self._first = first
        self._ends = frozenset(ends)
        self._rows: list[Any] = []
        self._ended: list[bool] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """float (n, v): -inf where a token is not allowed."""
        if not self._rows:
            self._rows = [self._first.deep_copy() for _ in range(input_ids.shape[0])]
            self._ended = [False] * input_ids.shape[0]
        else:
            for n, token in enumerate(input_ids[:, -1].tolist()):
                self._ended[n] |= token in self._ends or self._rows[n].is_stopped()
                if not self._ended[n]:
                    self._rows[n].consume_token(token)
        allowed = np.stack([self._allowed(n, scores.shape[1]) for n in range(len(self._rows))])
        forbidden = torch.from_numpy(~allowed).to(scores.device)
        return scores.masked_fill(forbidden, -torch.inf)

    def _allowed(self, n: int, size: int) -> np.ndarray:
        """bool (v,)."""
        row = self._rows[n]
        _check(row)
        allowed = np.zeros(size, dtype=bool)
        if self._ended[n] or row.is_stopped():
            allowed[sorted(end for end in self._ends if end < size)] = True
            return allowed
        bits = np.frombuffer(row.compute_bitmask(), dtype=np.uint8)
        found = np.unpackbits(bits, bitorder="little")[:size].astype(bool)
        allowed[: len(found)] = found
        if not allowed.any():
            raise InferenceError("no token of this model can go on with the answer")
        return allowed


def _check(matcher: Any) -> None:
    if matcher.is_error():
        reason = matcher.get_error().partition("\n")[0]
        raise InferenceError(f"the form of the answer cannot be kept: {reason}")


def _grammar(shape: AnswerShape) -> str:
    import llguidance

    if shape.kind == "json":
        schema = json.dumps(bounded(json.loads(shape.schema)))
        return llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=_LAYOUT)
    return llguidance.LLMatcher.grammar_from_lark(f"start: {_either(shape.choices)}")


def _either(choices: Sequence[str]) -> str:
    """Any of the texts; many tokenizers have their words with the space before them."""
    texts = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return f'" "? ({texts})'
