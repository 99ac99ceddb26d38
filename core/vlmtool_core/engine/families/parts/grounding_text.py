"""Labels as the captions of Grounding DINO ("cat. dog."), and scores of tokens back to labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vlmtool_core.engine.families.parts.detection_base import Found
from vlmtool_core.engine.pictures.geometry import overlap


@dataclass(frozen=True, slots=True)
class Caption:
    """One pass's text: its token ids, and which text each token belongs to (-1 for none)."""

    ids: tuple[int, ...]
    owners: tuple[int, ...]


def pack_captions(
    texts: Sequence[Sequence[int]], *, begin: int, stop: int, end: int, most: int
) -> tuple[list[Caption], list[int]]:
    """As many texts in each caption as `most` tokens hold, each closed by `stop`, in order.

    Texts that alone are longer than a caption are cut.

    Parameters
    ----------
    texts : token ids of each text, without special ones
    begin, stop, end : ids of the first token, of the full stop and of the last token

    Returns
    -------
    the captions, and the numbers of the texts that were cut
    """
    captions: list[Caption] = []
    cut: list[int] = []
    ids, owners = [begin], [-1]
    for number, text in enumerate(texts):
        kept = list(text[: most - 3])
        if len(kept) < len(text):
            cut.append(number)
        if len(ids) + len(kept) + 2 > most:
            captions.append(Caption((*ids, end), (*owners, -1)))
            ids, owners = [begin], [-1]
        ids += [*kept, stop]
        owners += [number] * len(kept) + [-1]
    captions.append(Caption((*ids, end), (*owners, -1)))
    return captions, cut


def score_texts(logits: torch.Tensor, caption: Caption) -> tuple[torch.Tensor, torch.Tensor]:
    """The best text of each query by the highest of its tokens: scores and numbers of texts.

    The tokens in between (the full stops, the first and the last) stand for no label and are
    left out, as are parts of two labels together.

    logits : (batch, queries, tokens or more); both results are (batch, queries)
    """
    places = [n for n, owner in enumerate(caption.owners) if owner >= 0]
    first = caption.owners[places[0]]
    count = caption.owners[places[-1]] - first + 1
    columns = torch.tensor([caption.owners[n] - first for n in places], device=logits.device)
    tokens = logits[..., places].float()
    scores = tokens.new_full((*tokens.shape[:-1], count), -torch.inf)
    scores = scores.scatter_reduce(-1, columns.expand_as(tokens), tokens, "amax")
    best, which = scores.max(dim=-1)
    return best.sigmoid(), which + first


def merge_passes(passes: Sequence[Found], most: int, limit: float) -> Found:
    """What several passes over one picture found, each thing once.

    Within a pass each query is one thing; between passes, which cannot see each other's labels,
    boxes that overlap by `limit` or more are one thing, under its best label.

    most : how many are kept, best first: as many as one pass gives
    """
    if len(passes) == 1:
        return passes[0]
    boxes = np.concatenate([part.boxes for part in passes])
    scores = np.concatenate([part.scores for part in passes])
    labels = np.concatenate([part.labels for part in passes])
    origin = np.repeat(np.arange(len(passes)), [len(part.scores) for part in passes])
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable"):
        others = [n for n in kept if origin[n] != origin[candidate]]
        if not others or overlap(boxes[candidate], boxes[others]).max() < limit:
            kept.append(int(candidate))
            if len(kept) == most:
                break
    return Found(boxes, scores, labels).only(np.array(kept, dtype=int))
