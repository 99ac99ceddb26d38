"""Whether a checkpoint holds the weights of the model that it is loaded as.

transformers fills what is missing with random numbers and only warns: a checkpoint in another
layout, such as the one of code of its own, would answer with noise.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.errors import PackError

# Part of the weights that may be missing: some checkpoints lack a part that is not used.
_MOST_MISSING = 0.05
# Parts that many checkpoints were published without.
_UNUSED = ("pooler",)


def require_complete(model: Any, missing: Collection[str], pack: Pack) -> None:
    """Raise `PackError` if more than a twentieth of a model's weights was not in its checkpoint.

    Parameters
    ----------
    model : a loaded model of transformers
    missing : names of the weights that the checkpoint lacks
    """
    sizes = {name: weights.numel() for name, weights in model.named_parameters()}
    lost = [name for name in missing if not any(part in name for part in _UNUSED)]
    if sum(sizes.get(name, 0) for name in lost) <= _MOST_MISSING * sum(sizes.values()):
        return
    raise PackError(
        f"the checkpoint of {pack.id} lacks {len(lost)} of the model's weights, "
        f"such as {min(lost)}",
        path=pack.location,
        field="weights",
        remedy="Choose a checkpoint in the layout of transformers itself, not one for its authors' "
        "own code.",
    )
