"""SAM 2 and 2.1 on pictures: a picture is squashed to the input's square."""

from __future__ import annotations

from typing import Any

import torch

from vlmtool_core.engine.families.parts.segmenter_base import Looked, SegmenterFamily
from vlmtool_core.engine.registry import register_family


@register_family("sam2")
class Sam2(SegmenterFamily):
    """Segment Anything 2. The published folders are of the video model, which holds this one."""

    model_types = ("sam2", "sam2_video")
    processor_class = "Sam2Processor"

    @property
    def input_side(self) -> int:
        return int(self._processor.target_size)

    def _seen(self, inputs: Any, values: torch.Tensor) -> tuple[int, int]:  # noqa: ARG002
        return self.input_side, self.input_side

    def _at_source_size(self, logits: torch.Tensor, looked: Looked) -> torch.Tensor:
        width, height = looked.size
        masks = self._processor.post_process_masks([logits[0]], [(height, width)])
        made: torch.Tensor = masks[0][0, 0]
        return made
