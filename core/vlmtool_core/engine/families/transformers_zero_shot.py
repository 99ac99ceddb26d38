"""CLIP and MetaCLIP 2: any labels by a softmax over them, and features beside texts."""

from __future__ import annotations

from vlmtool_core.engine.families.parts.contrastive_base import ContrastiveFamily
from vlmtool_core.engine.registry import register_family


@register_family("transformers-zero-shot")
class TransformersZeroShot(ContrastiveFamily):
    """Trained to choose the one text of many that belongs to a picture."""

    model_types = ("clip", "metaclip_2")
