"""Chinese-CLIP: labels in Chinese, put into Chinese sentences."""

from __future__ import annotations

from vlmtool_core.engine.families.parts.contrastive_base import ContrastiveFamily
from vlmtool_core.engine.registry import register_family


@register_family("chinese-clip")
class ChineseClip(ContrastiveFamily):
    """CLIP with a BERT of Chinese characters as its text encoder."""

    model_types = ("chinese_clip",)
    templates = ("{}", "一张{}的照片", "一种{}")
    anything = ("一张照片", "一张其他东西的图片")
    # Its positions go up to 512, but it was trained on texts of this length.
    most_tokens = 52
