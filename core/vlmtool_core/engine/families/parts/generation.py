"""What families of models that write share: greedy generation that stops when it is asked to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria

from vlmtool_core.engine.runtime.stopping import check_stopped, stopped
from vlmtool_core.records import Json

# What a checkpoint may say of how words are drawn: set aside, so that a picture gives the same
# words each time, and in any batch.
_DRAWING = {
    "do_sample": False, "num_beams": 1, "num_return_sequences": 1, "early_stopping": None,
    "length_penalty": None, "temperature": None, "top_k": None, "top_p": None, "min_p": None,
    "typical_p": None, "max_length": None, "max_new_tokens": None, "max_time": None,
}  # fmt: skip
# What of it stays, because it changes which words the model was meant to write.
_KEPT = ("no_repeat_ngram_size", "repetition_penalty", "min_length", "min_new_tokens",
         "forced_bos_token_id", "forced_eos_token_id")  # fmt: skip


class StopWhenAsked(StoppingCriteria):
    """Ends generation after the token at which the inference of this thread was asked to stop."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return torch.full((input_ids.shape[0],), stopped(), device=input_ids.device)


class GreedyScores(LogitsProcessor):
    """Keeps the log-probability of the token that greedy decoding takes, step by step.

    The whole scores of a batch would be hundreds of megabytes.
    """

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
        self.steps.append(scores.float().log_softmax(dim=-1).amax(dim=-1))
        return scores


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote.

    tokens : int64 (n, t), prompt and text, padded behind the end
    start : where the text begins in `tokens`
    lengths : tokens of each row's text, its end included
    scores : exp of the mean log-probability of the text's tokens, one per row; in [0, 1]
    finished : whether the model came to an end before the limit, one per row; at the limit some
        models are made to write an end
    """

    tokens: torch.Tensor
    start: int
    lengths: tuple[int, ...]
    scores: tuple[float, ...]
    finished: tuple[bool, ...]

    @property
    def new(self) -> torch.Tensor:
        """int64 (n, t): the text without the prompt."""
        return self.tokens[:, self.start :]


def make_greedy(model: Any) -> None:
    """Set aside what a checkpoint says of sampling and beams, in the model and its parts.

    What fills up a batch is the end mark where a checkpoint names nothing else, as transformers
    does too, with a warning each time.
    """
    for part in model.modules():
        settings = getattr(part, "generation_config", None)
        if settings is not None:
            for name, value in _DRAWING.items():
                setattr(settings, name, value)
            if settings.pad_token_id is None and settings.eos_token_id is not None:
                ends = settings.eos_token_id
                settings.pad_token_id = ends[0] if isinstance(ends, list | tuple) else ends


def generation_settings(model: Any, most_tokens: int) -> dict[str, Json]:
    """How a model writes, for provenance."""
    settings: dict[str, Json] = {"method": "greedy", "most_tokens": most_tokens}
    for part in model.modules():
        config = getattr(part, "generation_config", None)
        values = {name: getattr(config, name, None) for name in _KEPT}
        settings.update({name: value for name, value in values.items() if value})
    return settings


@torch.inference_mode()
def write(
    model: Any,
    inputs: Mapping[str, Any],
    *,
    most_tokens: int,
    prompt_tokens: int,
    ends: frozenset[int],
    **options: Any,
) -> Written:
    """Greedy generation of a batch; the model was made greedy before (`make_greedy`).

    Parameters
    ----------
    inputs : what the model's `generate` takes, on its device
    prompt_tokens : how many tokens stand before the text in what `generate` returns
    ends : ids of the tokens that end the text

    Raises
    ------
    CancelledError : the inference was asked to stop.
    """
    scores = GreedyScores()
    output = model.generate(
        **inputs,
        max_new_tokens=most_tokens,
        stopping_criteria=[StopWhenAsked()],
        logits_processor=LogitsProcessorList([scores]),
        **options,
    )
    check_stopped()
    new = output[:, prompt_tokens:]
    steps = torch.stack(scores.steps[: new.shape[1]], dim=1)
    lengths = _lengths(new, ends)
    counted = torch.arange(new.shape[1], device=new.device)[None] < lengths[:, None]
    means = (steps * counted).sum(dim=1) / lengths
    return Written(
        output,
        prompt_tokens,
        tuple(lengths.tolist()),
        tuple(float(value) for value in means.exp()),
        tuple(length < most_tokens for length in lengths.tolist()),
    )


def _lengths(tokens: torch.Tensor, ends: frozenset[int]) -> torch.Tensor:
    """int64 (n,): tokens of each row up to its first end, that one included."""
    ended = torch.isin(tokens, torch.tensor(sorted(ends), device=tokens.device))
    first = torch.where(ended.any(dim=1), ended.int().argmax(dim=1) + 1, tokens.shape[1])
    return first.clamp(min=1)
