"""Models of real size with random weights, in folders as people download them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf

WORDS = (
    "a", "photo", "of", "kind", "cat", "dog", "car", "person", "tree", "house", "boat", "bird",
    "horse", "bicycle", "train", "chair", "table", "phone", "book", "cup", "bottle", "flower",
    "this", "is",
)  # fmt: skip
LABELS = WORDS[4:24]
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
_TEMPLATE = (
    "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}:{% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %} {{ c.text }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def clip(folder: Path, patch: int = 32) -> Path:
    """CLIP ViT-B/32 (or /16), 151 M parameters."""
    torch.manual_seed(0)
    config = tf.CLIPConfig(vision_config={"patch_size": patch})
    tf.CLIPModel(config).save_pretrained(folder)
    tf.CLIPImageProcessor().save_pretrained(folder)
    _tokenizer(77).save_pretrained(folder)
    return folder


def owlv2(folder: Path) -> Path:
    """OWLv2-base, patches of 16 on 960 pixels."""
    torch.manual_seed(0)
    config = tf.Owlv2Config(
        text_config={"max_position_embeddings": 16},
        vision_config={"image_size": 960, "patch_size": 16},
    )
    tf.Owlv2ForObjectDetection(config).save_pretrained(folder)
    processor = tf.Owlv2Processor(tf.Owlv2ImageProcessor(), _tokenizer(16))
    processor.save_pretrained(folder)
    return folder


def rt_detr(folder: Path) -> Path:
    """RT-DETR v2 on ResNet-18, 640 pixels."""
    torch.manual_seed(0)
    backbone = tf.RTDetrResNetConfig(
        hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic",
        embedding_size=64, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = tf.RTDetrV2Config(
        backbone_config=backbone, encoder_in_channels=[128, 256, 512], hidden_expansion=0.5,
        decoder_layers=3, num_labels=80,
    )  # fmt: skip
    tf.RTDetrV2ForObjectDetection(config).save_pretrained(folder)
    tf.RTDetrImageProcessor().save_pretrained(folder)
    return folder


def smolvlm(folder: Path) -> Path:
    """SmolVLM-256M, saved in bfloat16 as it was published; one 512-pixel view per picture."""
    torch.manual_seed(0)
    tokenizer = _byte_tokenizer()
    config = tf.SmolVLMConfig(
        text_config={
            "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "vocab_size": 49280, "max_position_embeddings": 8192,
            "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
            "num_attention_heads": 12, "image_size": 512, "patch_size": 16,
        },
        scale_factor=4, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    model = tf.SmolVLMForConditionalGeneration(config).to(torch.bfloat16)
    # Random weights end nowhere in particular: every answer is as long as it may be.
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    sizes = {"size": {"longest_edge": 512}, "max_image_size": {"longest_edge": 512}}
    processor = tf.SmolVLMProcessor(
        tf.SmolVLMImageProcessor(do_image_splitting=False, **sizes), tokenizer,
        tf.SmolVLMVideoProcessor(**sizes), image_seq_len=64, chat_template=_TEMPLATE,
    )  # fmt: skip
    processor.save_pretrained(folder)
    return folder


def _tokenizer(length: int) -> Any:
    """Whole words; the text tower keeps its real vocabulary and length."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = [*_SPECIAL, *WORDS]
    raw = Tokenizer(models.WordLevel({w: n for n, w in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", model_max_length=length,
    )  # fmt: skip


def _byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + 60, initial_alphabet=alphabet,
        special_tokens=["<pad>", "<bos>", "<eos>", "<unk>"], show_progress=False,
    )  # fmt: skip
    raw.train_from_iterator(["describe this picture in one sentence"] * 3, trainer)
    grid = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    extra = ["<image>", "<fake_token_around_image>", "<global-img>", "<|im_start|>", *grid]
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<bos>", unk_token="<unk>",
        eos_token="<end_of_utterance>", additional_special_tokens=extra, padding_side="left",
    )  # fmt: skip


MODELS = {"clip": clip, "owlv2": owlv2, "rt-detr": rt_detr, "smolvlm": smolvlm}
