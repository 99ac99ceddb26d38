"""Tiny random contrastive models of every kind, in folders as people download them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from tiny import WORDS

TEXT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip
VISION = {**TEXT, "image_size": 32, "patch_size": 16}
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
HANZI = "一张的照片种其他东西图猫狗鸟红色"


def stirred(model: Any, scale: float = 20.0) -> Any:
    """The model with weights so different that every wrong input shows in its scores."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * 0.25)
        for name, value in {"logit_scale": math.log(scale), "logit_bias": -2.0}.items():
            if hasattr(model, name):
                getattr(model, name).fill_(value)
    return model.eval()


def ended_tokenizer() -> Any:
    """A fast tokenizer of whole words that begins and ends its texts with special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def piece_tokenizer(folder: Path) -> Any:
    """The tokenizer of SigLIP 1 with a SentencePiece model of our own words."""
    import sentencepiece
    from transformers import SiglipTokenizer

    lines = [" ".join(WORDS[n:] + WORDS[:n]) for n in range(len(WORDS))]
    (folder / "corpus.txt").write_text("\n".join(lines * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "made"), vocab_size=40,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return SiglipTokenizer(str(folder / "made.model"), model_max_length=24)


def letter_tokenizer() -> Any:
    """The tokenizer of SigLIP 2 naflex over single letters."""
    from transformers import Siglip2Tokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [*special, "▁", *"abcdefghijklmnopqrstuvwxyz."]
    return Siglip2Tokenizer(
        vocab={letter: n for n, letter in enumerate(letters)}, padding_side="right"
    )


def gemma_tokenizer() -> Any:
    """The tokenizer of the published folders of SigLIP 2: it leaves the case as it is."""
    from transformers import GemmaTokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [*special, "▁", *"abcdefghijklmnopqrstuvwxyzCP."]
    return GemmaTokenizer(
        vocab={letter: n for n, letter in enumerate(letters)}, padding_side="right",
        add_bos_token=False, add_eos_token=True, model_input_names=["input_ids"],
    )  # fmt: skip


def bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *HANZI]
    return BertTokenizer(vocab={word: n for n, word in enumerate(dict.fromkeys(words))})


def _save(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    text = {
        **TEXT, "vocab_size": 40, "max_position_embeddings": 20, "eos_token_id": 2,
        "bos_token_id": 1, "pad_token_id": 0,
    }  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return _save(folder, stirred(CLIPModel(config)), processor, ended_tokenizer())


def metaclip2(folder: Path) -> Path:
    from transformers import CLIPImageProcessor, MetaClip2Config, MetaClip2Model

    text = {**TEXT, "vocab_size": 40, "max_position_embeddings": 20, "eos_token_id": 2}
    config = MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=8)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return _save(folder, stirred(MetaClip2Model(config)), processor, ended_tokenizer())


def siglip(folder: Path, tokenizer: Any = None) -> Path:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {**TEXT, "vocab_size": 40, "max_position_embeddings": 24, "projection_size": 16}
    config = SiglipConfig(text_config=text, vision_config=VISION)
    processor = SiglipImageProcessor(size={"height": 32, "width": 32})
    tokenizer = tokenizer or piece_tokenizer(folder)
    return _save(folder, stirred(SiglipModel(config), 8), processor, tokenizer)


def siglip2_fixed(folder: Path) -> Path:
    """As published: the classes of SigLIP with the tokenizer of Gemma."""
    return siglip(folder, gemma_tokenizer())


def siglip2_naflex(folder: Path) -> Path:
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model

    text = {**TEXT, "vocab_size": 40, "max_position_embeddings": 24, "projection_size": 16}
    vision = {**TEXT, "patch_size": 8, "num_patches": 16}
    config = Siglip2Config(text_config=text, vision_config=vision)
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=20)
    return _save(folder, stirred(Siglip2Model(config), 8), processor, letter_tokenizer())


def chinese_clip(folder: Path) -> Path:
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    text = {**TEXT, "vocab_size": 60, "max_position_embeddings": 64}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    processor = ChineseCLIPImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}
    )
    return _save(folder, stirred(ChineseCLIPModel(config)), processor, bert_tokenizer())


def align(folder: Path) -> Path:
    from transformers import AlignConfig, AlignModel, EfficientNetImageProcessor

    vision = {
        "image_size": 32, "kernel_sizes": [3, 3], "in_channels": [32, 8], "out_channels": [8, 12],
        "strides": [1, 2], "num_block_repeats": [1, 1], "expand_ratios": [1, 2],
        "depthwise_padding": [], "hidden_dim": 16, "width_coefficient": 1.0,
    }  # fmt: skip
    text = {**TEXT, "vocab_size": 60, "max_position_embeddings": 64}
    config = AlignConfig(text_config=text, vision_config=vision, projection_dim=16)
    config.temperature_init_value = 0.1
    processor = EfficientNetImageProcessor(size={"height": 32, "width": 32})
    return _save(folder, stirred(AlignModel(config)), processor, bert_tokenizer())


BUILDERS = {
    "clip": clip, "metaclip2": metaclip2, "siglip": siglip, "siglip2-fixed": siglip2_fixed,
    "siglip2-naflex": siglip2_naflex, "chinese-clip": chinese_clip, "align": align,
}  # fmt: skip
