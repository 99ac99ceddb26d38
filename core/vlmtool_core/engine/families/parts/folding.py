"""Norms of trained convolutions folded into them: the same numbers with fewer passes over memory.

That a norm follows a convolution is not guessed from names: each module is run before and after
on noise, and left as it was where its outputs differ.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_SAME = 1e-3
_SIDE = 32

log = logging.getLogger(__name__)


@torch.no_grad()
def fold_norms(model: nn.Module) -> int:
    """Fold what can be folded, in place; returns how many norms are gone.

    The model must be in evaluation mode and in float32.
    """
    folded = 0
    for parent in model.modules():
        pairs = list(_pairs(parent))
        if pairs and _fold(parent, pairs):
            folded += len(pairs)
    return folded


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of neighbouring children that look like a convolution and its norm."""
    children = list(parent.named_children())
    for (first, conv), (second, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and _is_norm(norm):
            width = getattr(norm, "running_mean").shape[0]  # noqa: B009  (a buffer, unknown to types)
            if width == conv.out_channels:
                yield first, second


def _is_norm(module: nn.Module) -> bool:
    names = {"running_mean", "running_var"} <= set(dict(module.named_buffers(recurse=False)))
    return names and getattr(module, "weight", None) is not None


def _fold(parent: nn.Module, pairs: list[tuple[str, str]]) -> bool:
    before = {name: getattr(parent, name) for pair in pairs for name in pair}
    first = before[pairs[0][0]]
    noise = torch.rand(
        1, first.in_channels, _SIDE, _SIDE, device=first.weight.device,
        generator=torch.Generator(first.weight.device).manual_seed(0),
    )  # fmt: skip
    try:
        expected = _tensors(parent(noise))
        for conv, norm in pairs:
            setattr(parent, conv, _joined(before[conv], before[norm]))
            setattr(parent, norm, nn.Identity())
        got = _tensors(parent(noise))
    except (TypeError, RuntimeError, ValueError, AttributeError, KeyError) as error:
        log.debug("%s cannot be tried on its own: %s", type(parent).__name__, error)
        got = expected = []
    same = bool(expected) and all(map(_close, expected, got))
    if not same:
        for name, module in before.items():
            setattr(parent, name, module)
    return same


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    scale = float(one.abs().max()) + 1e-6
    return one.shape == other.shape and float((one - other).abs().max()) < _SAME * scale


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value.float()]
    parts = value.values() if isinstance(value, dict) else value
    return [tensor for part in parts for tensor in _tensors(part)]


def _joined(conv: nn.Conv2d, norm: Any) -> nn.Conv2d:
    """One convolution that does what both do."""
    factor = norm.weight / torch.sqrt(norm.running_var + getattr(norm, "eps", 1e-5))
    bias = conv.bias if conv.bias is not None else torch.zeros_like(norm.running_mean)
    joined = copy.deepcopy(conv)
    joined.weight.copy_(conv.weight * factor[:, None, None, None])
    joined.bias = nn.Parameter((bias - norm.running_mean) * factor + norm.bias)
    return joined
