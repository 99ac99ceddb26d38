"""Grounding DINO and MM-Grounding-DINO: labels as one caption, tokens mapped back to labels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from vlmtool_core.engine.families.parts.detection_base import (
    Detector,
    Found,
    Texts,
    corners,
    found_above,
    label_queries,
    not_understood,
)
from vlmtool_core.engine.families.parts.grounding_text import (
    Caption,
    merge_passes,
    pack_captions,
    score_texts,
)
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.records import Frame, Label, Outcome

# Boxes of two passes that overlap this far are the same thing.
_SAME_THING = 0.7
_CAPTIONS_KEPT = 64


@register_family("grounding-dino")
class GroundingDino(Detector):
    """Any labels; where they do not fit into one caption, several passes over the picture."""

    model_types = ("grounding-dino", "mm-grounding-dino")
    architectures = ("ForObjectDetection",)
    auto_class = "AutoModelForZeroShotObjectDetection"
    default_threshold = 0.25
    half_modules = ("model.backbone",)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._tokenizer = self._load("AutoTokenizer")
        parts = self._model.model
        parts.backbone = LastPicture(parts.backbone)
        parts.text_backbone = KeptCaptions(parts.text_backbone)

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes of at least `threshold` (0.25 when None), each under one of the labels.

        Raises
        ------
        UsageError : no labels, or one of which the tokenizer knows nothing.
        """
        asked = label_queries(labels, self.pack.id, lower=True)
        names = [label.name for label in labels or ()]
        captions, cut = self._captions(asked, names)
        limit = self._limit(threshold)
        found = self._run(frames, captions=captions, owners=asked.owners, limit=limit)
        passes = len(captions)
        details = {
            "threshold": limit,
            "passes": passes,
            "suppression": _SAME_THING if passes > 1 else None,
            "cut": [names[asked.owners[n]][:80] for n in cut],
        }
        return self._outcomes(frames, found, names, details)

    def _captions(self, asked: Texts, names: Sequence[str]) -> tuple[list[Caption], list[int]]:
        own = self._tokenizer
        dropped = {int(n) for n in self._model.model.special_tokens} | set(own.all_special_ids)
        dropped.discard(own.unk_token_id)
        encoded = own(list(asked.texts), add_special_tokens=False)["input_ids"]
        texts = [[n for n in ids if n not in dropped] for ids in encoded]
        for ids, owner in zip(texts, asked.owners, strict=True):
            if all(n == own.unk_token_id for n in ids):
                raise not_understood(self.pack.id, names[owner])
        lengths = (
            self._model.config.max_text_len,
            self._model.config.text_config.max_position_embeddings,
        )
        return pack_captions(
            texts,
            begin=own.cls_token_id,
            stop=own.convert_tokens_to_ids("."),
            end=own.sep_token_id,
            most=min(lengths),
        )

    def _find(self, inputs: Mapping[str, torch.Tensor], **options: Any) -> list[Found]:
        owners = torch.tensor(options["owners"], device=self.device)
        passes: list[list[Found]] = []
        for caption in options["captions"]:
            check_stopped()
            ids = torch.tensor(caption.ids, device=self.device)
            outputs = self._model(
                **inputs,
                input_ids=ids.expand(len(inputs["pixel_values"]), -1),
                return_dict=True,
            )
            scores, texts = score_texts(outputs.logits, caption)
            boxes = corners(outputs.pred_boxes)
            passes.append(found_above(boxes, scores, owners[texts], options["limit"]))
        self._model.model.backbone.forget()
        most = self._model.config.num_queries
        return [merge_passes(parts, most, _SAME_THING) for parts in zip(*passes, strict=True)]


class LastPicture(torch.nn.Module):
    """A vision backbone that looks at the same tensor once, for several passes over it."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.position_embedding = backbone.position_embedding
        self._seen: tuple[torch.Tensor, tuple[list[Any], ...]] | None = None

    def forward(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor) -> tuple[Any, ...]:
        if self._seen is None or self._seen[0] is not pixel_values:
            self._seen = pixel_values, tuple(self.backbone(pixel_values, pixel_mask))
        # The model appends to these lists.
        return tuple(list(part) for part in self._seen[1])

    def forget(self) -> None:
        """Give the memory back."""
        self._seen = None


class KeptCaptions(torch.nn.Module):
    """A text backbone that encodes a caption once for all pictures that it is asked about."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self._kept: OrderedDict[tuple[int, ...], torch.Tensor] = OrderedDict()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        position_ids: torch.Tensor,
        **_: Any,
    ) -> BaseModelOutput:
        key = tuple(input_ids[0].tolist())
        if key not in self._kept:
            self._kept[key] = self.backbone(
                input_ids[:1], attention_mask[:1], token_type_ids[:1], position_ids[:1]
            ).last_hidden_state
        self._kept.move_to_end(key)
        while len(self._kept) > _CAPTIONS_KEPT:
            self._kept.popitem(last=False)
        return BaseModelOutput(self._kept[key].expand(len(input_ids), -1, -1))
