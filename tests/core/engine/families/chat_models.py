"""Tiny chat models with random weights: real model and processor classes, each saved as a folder
in the layout of transformers, with a short chat template and a byte-level or SentencePiece-like
tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as tf

SENTENCES = (
    "describe this picture in one or two sentences", "is there a cat in the photo", "yes", "no",
    "answer only with one of these", "what do the two pictures show", "a red dog on the left",
)  # fmt: skip
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}IMAGE{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SMOL = (
    "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}:{% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %} {{ c.text }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
_GEMMA = (
    "<bos>{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<start_of_image>{% else %}{{ c.text }}{% endif %}{% endfor %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_LLAVA = (
    "{% for m in messages %}{{ 'ASSISTANT' if m.role == 'assistant' else m.role | upper }}: "
    "{% for c in m.content %}{% if c.type == 'image' %}<image>\n{% else %}{{ c.text }}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 4096,
}  # fmt: skip
_VISION = {
    "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
_FIRST = ("<pad>", "<bos>", "<eos>", "<unk>")


def byte_tokenizer(special: Sequence[str] = (), end: str = "<eos>", **named: str) -> Any:
    """Byte-level BPE, as of GPT-2 and most chat models."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(_FIRST) + 60, initial_alphabet=alphabet,
        special_tokens=list(_FIRST), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return _wrapped(tokenizer, special, end, named)


def piece_tokenizer(special: Sequence[str] = (), end: str = "<eos>", **named: str) -> Any:
    """SentencePiece's way: words carry the space before them, unknown characters become bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    words = {word for sentence in SENTENCES for word in sentence.split()}
    pieces = [f"▁{word}" for word in sorted(words)] + ["▁", *map(chr, range(33, 127))]
    names = [*_FIRST, *(f"<0x{n:02X}>" for n in range(256)), *pieces]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _wrapped(tokenizer, special, end, named)


def _wrapped(tokenizer: Any, special: Sequence[str], end: str, named: dict[str, str]) -> Any:
    made = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token=end,
        unk_token="<unk>", model_input_names=["input_ids", "attention_mask"],
        extra_special_tokens=named,
    )  # fmt: skip
    made.add_special_tokens({"additional_special_tokens": [*special]})
    return made


def _save(model: Any, processor: Any, folder: Path) -> Path:
    torch.manual_seed(0)
    for parameter in model.parameters():  # far enough apart that no two tokens are equally likely
        torch.nn.init.normal_(parameter, std=0.15)
    end = processor.tokenizer.eos_token_id
    model.generation_config.update(eos_token_id=end, pad_token_id=processor.tokenizer.pad_token_id)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    ids = {"bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    return {**_TEXT, "vocab_size": len(tokenizer), **ids, **more}


def _idefics(kind: str, folder: Path) -> Path:
    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
               "<|im_start|>"]  # fmt: skip
    special += [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    tokenizer = byte_tokenizer(special, end="<end_of_utterance>")
    config = getattr(tf, f"{kind}Config")(
        text_config={"model_type": "llama", **_text(tokenizer)},
        vision_config={**_VISION, "image_size": 32, "patch_size": 8},
        scale_factor=2, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    parts = [getattr(tf, f"{kind}ImageProcessor")(**sizes), tokenizer]
    if kind == "SmolVLM":
        parts.append(tf.SmolVLMVideoProcessor(**sizes))
    processor = getattr(tf, f"{kind}Processor")(*parts, image_seq_len=4, chat_template=_SMOL)
    return _save(getattr(tf, f"{kind}ForConditionalGeneration")(config), processor, folder)


def smolvlm(folder: Path) -> Path:
    return _idefics("SmolVLM", folder)


def idefics3(folder: Path) -> Path:
    return _idefics("Idefics3", folder)


def _qwen(version: str, folder: Path, vision: dict[str, Any], text: dict[str, Any]) -> Path:
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
               "<|image_pad|>", "<|video_pad|>"]  # fmt: skip
    tokenizer = byte_tokenizer(special, end="<|im_end|>")
    ids = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
            ("vision_start_token_id", "<|vision_start|>"),
            ("vision_end_token_id", "<|vision_end|>"),
        )
    }  # fmt: skip
    config = getattr(tf, f"{version}Config")(
        text_config=_text(tokenizer, **text), vision_config={"out_hidden_size": 32, **vision}, **ids
    )
    patches = {"patch_size": vision["patch_size"], "merge_size": 2, "temporal_patch_size": 2}
    edges = {"shortest_edge": 4 * 4 * 64, "longest_edge": 8 * 8 * 256}
    template = _CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    video = tf.Qwen3VLVideoProcessor if version == "Qwen3VL" else tf.Qwen2VLVideoProcessor
    processor = getattr(tf, f"{version}Processor")(
        tf.Qwen2VLImageProcessor(size=edges, **patches), tokenizer, video(**patches),
        chat_template=template,
    )  # fmt: skip
    return _save(getattr(tf, f"{version}ForConditionalGeneration")(config), processor, folder)


def qwen2_5_vl(folder: Path) -> Path:
    vision = {"depth": 2, "hidden_size": 24, "intermediate_size": 32, "num_heads": 2,
              "patch_size": 8, "window_size": 32, "fullatt_block_indexes": [1]}  # fmt: skip
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2]}
    return _qwen("Qwen2_5_VL", folder, vision, {"rope_parameters": rope})


def qwen3_vl(folder: Path) -> Path:
    vision = {"depth": 3, "hidden_size": 24, "intermediate_size": 32, "num_heads": 2,
              "patch_size": 8, "num_position_embeddings": 64,
              "deepstack_visual_indexes": [0, 1]}  # fmt: skip
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    return _qwen("Qwen3VL", folder, vision, {"head_dim": 8, "rope_parameters": rope})


def internvl(folder: Path) -> Path:
    named = {"start_image_token": "<img>", "end_image_token": "</img>",
             "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}  # fmt: skip
    tokenizer = byte_tokenizer(["<|im_start|>", "<|im_end|>"], end="<|im_end|>", **named)
    config = tf.InternVLConfig(
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        vision_config={**_VISION, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"), image_seq_length=4,
        tie_word_embeddings=False,
    )  # fmt: skip
    pictures = tf.GotOcr2ImageProcessor(
        size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=3
    )
    videos = tf.InternVLVideoProcessor(size={"height": 32, "width": 32})
    processor = tf.InternVLProcessor(
        pictures, tokenizer, videos, image_seq_length=4,
        chat_template=_CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )  # fmt: skip
    return _save(tf.InternVLForConditionalGeneration(config), processor, folder)


def gemma3(folder: Path) -> Path:
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
             "image_token": "<image_soft_token>"}  # fmt: skip
    special = ["<start_of_turn>", "<end_of_turn>"]
    tokenizer = piece_tokenizer(special, end="<end_of_turn>", **named)
    text = _text(tokenizer, head_dim=8, sliding_window=16, query_pre_attn_scalar=8,
                 layer_types=["sliding_attention", "full_attention"])  # fmt: skip
    config = tf.Gemma3Config(
        text_config=text,
        vision_config={"model_type": "siglip_vision_model", **_VISION, "image_size": 32,
                       "patch_size": 8, "vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
    )  # fmt: skip
    pictures = tf.Gemma3ImageProcessor(size={"height": 32, "width": 32})
    processor = tf.Gemma3Processor(pictures, tokenizer, image_seq_length=4, chat_template=_GEMMA)
    return _save(tf.Gemma3ForConditionalGeneration(config), processor, folder)


def lfm2_vl(folder: Path) -> Path:
    special = ["<|im_start|>", "<|im_end|>", "<image>", "<|image_start|>", "<|image_end|>",
               "<|img_thumbnail|>"]  # fmt: skip
    special += [f"<|img_row_{i}_col_{j}|>" for i in range(1, 4) for j in range(1, 4)]
    tokenizer = byte_tokenizer(special, end="<|im_end|>")
    text = _text(tokenizer, layer_types=["conv", "full_attention"], conv_L_cache=3,
                 block_auto_adjust_ff_dim=False)  # fmt: skip
    config = tf.Lfm2VlConfig(
        text_config={"model_type": "lfm2", **text},
        vision_config={"model_type": "siglip2_vision_model", **_VISION, "patch_size": 8,
                       "num_patches": 64, "vision_use_head": False},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32, downsample_factor=2,
    )  # fmt: skip
    pictures = tf.Lfm2VlImageProcessor(
        tile_size=64, encoder_patch_size=8, downsample_factor=2, min_image_tokens=4,
        max_image_tokens=16, min_tiles=2, max_tiles=3, max_num_patches=64,
        size={"height": 64, "width": 64},
    )  # fmt: skip
    processor = tf.Lfm2VlProcessor(
        pictures, tokenizer, chat_template=_CHATML.replace("IMAGE", "<image>")
    )
    return _save(tf.Lfm2VlForConditionalGeneration(config), processor, folder)


def _clip(text: dict[str, Any]) -> dict[str, Any]:
    return {
        "vision_config": {"model_type": "clip_vision_model", **_VISION, "image_size": 32,
                          "patch_size": 8, "projection_dim": 16},
        "text_config": {"model_type": "llama", **text},
    }  # fmt: skip


def llava(folder: Path) -> Path:
    tokenizer = piece_tokenizer(["<image>"])
    config = tf.LlavaConfig(
        **_clip(_text(tokenizer)), image_seq_length=16,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    pictures = tf.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    processor = tf.LlavaProcessor(
        pictures, tokenizer, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=_LLAVA,
    )  # fmt: skip
    return _save(tf.LlavaForConditionalGeneration(config), processor, folder)


def llava_next(folder: Path) -> Path:
    grid = [[32, 64], [64, 32], [64, 64]]
    tokenizer = piece_tokenizer(["<image>"])
    config = tf.LlavaNextConfig(
        **_clip(_text(tokenizer)), image_seq_length=16, image_grid_pinpoints=grid,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    pictures = tf.LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=grid
    )
    processor = tf.LlavaNextProcessor(
        pictures, tokenizer, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=_LLAVA,
    )  # fmt: skip
    return _save(tf.LlavaNextForConditionalGeneration(config), processor, folder)


def llava_onevision(folder: Path) -> Path:
    grid = [[32, 32], [32, 64], [64, 32], [64, 64]]
    special = ["<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    tokenizer = byte_tokenizer(special, end="<|im_end|>")
    config = tf.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        vision_config={"model_type": "siglip_vision_model", **_VISION, "image_size": 32,
                       "patch_size": 8, "vision_use_head": False},
        image_grid_pinpoints=grid,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
    )  # fmt: skip
    size = {"height": 32, "width": 32}
    processor = tf.LlavaOnevisionProcessor(
        tf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grid), tokenizer,
        tf.LlavaOnevisionVideoProcessor(size=size), num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_CHATML.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return _save(tf.LlavaOnevisionForConditionalGeneration(config), processor, folder)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    build.__name__: build
    for build in (
        smolvlm, idefics3, qwen2_5_vl, qwen3_vl, internvl, gemma3, lfm2_vl, llava, llava_next,
        llava_onevision,
    )
}  # fmt: skip
