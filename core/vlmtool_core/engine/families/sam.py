"""SAM and SAM-HQ: a picture is made as long as the input and padded at its right or bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vlmtool_core.engine.families.parts.segmenter_base import Looked, SegmenterFamily
from vlmtool_core.engine.registry import register_family


@register_family("sam")
class Sam(SegmenterFamily):
    """Segment Anything."""

    model_types = ("sam",)
    processor_class = "SamProcessor"

    @property
    def input_side(self) -> int:
        return int(self._processor.target_size)

    def _seen(self, inputs: Any, values: torch.Tensor) -> tuple[int, int]:  # noqa: ARG002
        height, width = (int(side) for side in inputs["reshaped_input_sizes"][0])
        return width, height

    def _at_source_size(self, logits: torch.Tensor, looked: Looked) -> torch.Tensor:
        width, height = looked.size
        seen = looked.seen[1], looked.seen[0]
        masks = self._processor.post_process_masks([logits[0]], [(height, width)], [seen])
        made: torch.Tensor = masks[0][0, 0]
        return made


@register_family("sam-hq")
class SamHq(Sam):
    """SAM with finer edges, from features of the encoder's middle."""

    model_types = ("sam_hq",)
    processor_class = "SamHQProcessor"

    def _embeddings(self, values: torch.Tensor) -> Mapping[str, Any]:
        last, between = self._model.get_image_embeddings(values)
        return {"image_embeddings": last, "intermediate_embeddings": between}
