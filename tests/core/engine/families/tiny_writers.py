"""Tiny captioners and readers with random weights, saved as their checkpoints are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tiny import WORDS, word_tokenizer

from vlmtool_core.records import Frame

SIDE = 32


def pictures_of(frames: Sequence[Frame]) -> list[Image.Image]:
    """The oriented pixels, as transformers takes pictures."""
    return [Image.fromarray(frame.pixels) for frame in frames]


def marked_tokenizer(
    special: Sequence[str], *, begin: str | None = None, end: str | None = None,
    words: Sequence[str] = WORDS, **named: str,
):  # fmt: skip
    """A word tokenizer that puts marks around a text, as BERT's and OPT's do."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer(special, words)
    around = " ".join(part for part in (begin, "$A", end) if part)
    marks = [(m, tokenizer.convert_tokens_to_ids(m)) for m in (begin, end) if m]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=around, special_tokens=marks
    )
    if named:
        tokenizer.add_special_tokens(named)
    return tokenizer


def shaken(model, seed: int = 3, spread: float = 0.3):
    """The model with weights far enough from zero that each picture gives other words."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.copy_(torch.randn(weights.shape, generator=generator) * spread)
    return model.eval()


def save(folder: Path, model, processor) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def blip(folder: Path, *, answers: bool = False) -> Path:
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipForQuestionAnswering,
        BlipImageProcessor,
        BlipProcessor,
    )

    special = ("[PAD]", "[DEC]", "[SEP]", "[UNK]", "[CLS]")
    tokenizer = marked_tokenizer(
        special, begin="[CLS]", end="[SEP]", cls_token="[CLS]", sep_token="[SEP]"
    )
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = BlipConfig(
        text_config={
            **sizes, "vocab_size": len(tokenizer), "encoder_hidden_size": 16,
            "bos_token_id": 1, "sep_token_id": 2, "pad_token_id": 0, "eos_token_id": 2,
            "max_position_embeddings": 128,
        },
        vision_config={**sizes, "image_size": SIDE, "patch_size": 8},
    )  # fmt: skip
    processor = BlipProcessor(BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer)
    kind = BlipForQuestionAnswering if answers else BlipForConditionalGeneration
    return save(folder, shaken(kind(config)), processor)
