"""How likely a model finds each of a few answers, without letting it write.

The prompt is read once for the whole batch; answers of more than one token go on from its cache.
The probability of an answer is the product over its tokens, summed over the ways of writing it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from vlmtool_core.engine.results import ranked_outcome
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.records import Json, Outcome

# Rows of the cache that are copied at once: each is as long as a whole prompt.
_MOST_ROWS = 16

Way = tuple[frozenset[int], ...]


def option_scores(
    model: Any, inputs: Any, tokenizer: Any, options: Sequence[str], ends: Collection[int]
) -> np.ndarray:
    """float64 (n, k): probability of each option for each row of the batch; rows sum to 1.

    Parameters
    ----------
    inputs : of `generate`, padded on the left
    ends : ids of the tokens that end an answer; they count where one option begins another

    Raises
    ------
    CancelledError : the inference was asked to stop.
    """
    ways = _ways(tokenizer, options, frozenset(ends))
    read = model.generate(
        **inputs,
        max_new_tokens=1,
        return_dict_in_generate=True,
        output_logits=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    first = read.logits[0].float().log_softmax(dim=-1)
    flat = [(number, way) for number, found in enumerate(ways) for way in found]
    totals = torch.stack([_chance(first, way[0]) for _, way in flat], dim=1)
    longer = [n for n, (_, way) in enumerate(flat) if len(way) > 1]
    for row in range(first.shape[0]) if longer else ():
        for start in range(0, len(longer), _MOST_ROWS):
            part = longer[start : start + _MOST_ROWS]
            follow = _Follower(model, inputs["attention_mask"], read.past_key_values, row)
            totals[row, part] += follow([flat[n][1] for n in part])
    owners = torch.tensor([number for number, _ in flat], device=totals.device)
    joined = [totals[:, owners == number].logsumexp(dim=1) for number in range(len(options))]
    return torch.stack(joined, dim=1).double().softmax(dim=1).cpu().numpy()


def most_likely(shape: AnswerShape, chances: np.ndarray, provenance: dict[str, Json]) -> Outcome:
    """The best of the options as text and data, with the scores of all."""
    ranked = ranked_outcome(shape.choices, chances, provenance)
    best = ranked.scores[0].label
    return Outcome(
        ranked.status,
        scores=ranked.scores,
        text=best,
        data=shape.value_of(best),
        provenance=provenance,
    )


def _ways(tokenizer: Any, options: Sequence[str], ends: frozenset[int]) -> list[list[Way]]:
    """Per option, the token sequences that stand for it: with and without a space before it, with
    and without a capital, unless that is another option."""
    taken = set(options)
    found = []
    for option in options:
        capital = option[:1].upper() + option[1:]
        forms = {option} | ({capital} if capital not in taken else set())
        texts = sorted({f"{space}{form}" for form in forms for space in ("", " ")})
        tokens = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        found.append(sorted({tuple(ids) for ids in tokens if ids}))
    every = [ids for sequences in found for ids in sequences]
    begins = any(a != b and b[: len(a)] == a for a in every for b in every)
    return [
        [(*(frozenset([token]) for token in ids), *([ends] if begins else [])) for ids in sequences]
        for sequences in found
    ]


def _chance(logs: torch.Tensor, tokens: frozenset[int]) -> torch.Tensor:
    """(n,): log-probability of any of the tokens, from (n, v)."""
    return logs[:, sorted(tokens)].logsumexp(dim=1)


class _Follower:
    """Goes on from one row of a prompt that was read, along several answers at once."""

    def __init__(self, model: Any, mask: torch.Tensor, cache: Any, row: int) -> None:
        self._model = model
        self._mask = mask[row : row + 1]
        self._cache = cache
        self._row = row

    def __call__(self, ways: Sequence[Way]) -> torch.Tensor:
        """(k,): log-probabilities of the answers behind their first tokens."""
        count, device = len(ways), self._mask.device
        cache = _rows(self._cache, torch.full((count,), self._row, device=device))
        mask = self._mask.expand(count, -1)
        total = torch.zeros(count, device=device)
        for step in range(1, max(map(len, ways))):
            check_stopped()
            tokens = [min(way[min(step, len(way)) - 1]) for way in ways]
            mask = torch.cat([mask, mask.new_ones(count, 1)], dim=1)
            logits = self._model(
                input_ids=torch.tensor(tokens, device=device)[:, None],
                attention_mask=mask,
                position_ids=self._position(mask),
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
            logs = logits.float().log_softmax(dim=-1)
            for n, way in enumerate(ways):
                if step < len(way):
                    total[n] += _chance(logs[n : n + 1], way[step])[0]
        return total

    def _position(self, mask: torch.Tensor) -> torch.Tensor:
        """(k, 1) of the newest token; (3, k, 1) where positions have time, height and width."""
        position = mask.long().sum(dim=1, keepdim=True) - 1
        for deltas in _deltas(self._model):
            return (position + deltas[self._row]).expand(3, -1, -1)
        return position


def _deltas(model: Any) -> Iterator[torch.Tensor]:
    """(n, 1): how far pictures move the positions behind them, in models that count so."""
    for part in model.modules():
        found = getattr(part, "rope_deltas", None)
        if isinstance(found, torch.Tensor):
            yield found


def _rows(cache: Any, rows: torch.Tensor) -> Any:
    """A copy of the cache with these rows; the cache itself stays as it is."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in chosen.layers:
        for name, value in vars(layer).items():
            if isinstance(value, dict | list):  # a convolution's states, which both would share
                setattr(layer, name, copy.copy(value))
    chosen.reorder_cache(rows)
    return chosen
