"""A tiny random CLIP with a tokenizer of whole words, in a folder as people download it."""

from __future__ import annotations

from pathlib import Path

WORDS = ("<pad>", "<s>", "</s>", "<unk>", "a", "photo", "of", "kind", "cat", "dog", "red", "green")


def save_tiny_clip(path: Path, *, width: int = 32, projection: int = 24) -> Path:
    """Write the folder and return it.

    width : of both towers
    projection : d of the embeddings
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    torch.manual_seed(3)
    tower = {
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "projection_dim": projection,
    }
    text = {**tower, "vocab_size": 40, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)
    CLIPModel(config).eval().save_pretrained(path)
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(path)
    vocabulary = {word: n for n, word in enumerate(WORDS)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
    )
    tokenizer.save_pretrained(path)
    return path
