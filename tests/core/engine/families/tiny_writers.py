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


def shaken(model, *, seed: int = 3, spread: float = 0.3, silent: Sequence[int] = ()):
    """The model with weights far enough from zero that each picture gives other words.

    silent : tokens that it is unlikely to write
    """
    generator = torch.Generator().manual_seed(seed)
    words = model.config.get_text_config().vocab_size
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.copy_(torch.randn(weights.shape, generator=generator) * spread)
                if silent and weights.shape[0] == words:
                    weights[list(silent)] *= 0.02
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


def git(folder: Path) -> Path:
    from transformers import CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor

    tokenizer = marked_tokenizer(
        ("[PAD]", "[CLS]", "[SEP]", "[UNK]"), begin="[CLS]", end="[SEP]",
        cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    sizes = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    config = GitConfig(
        **sizes, vocab_size=len(tokenizer), max_position_embeddings=128,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
        vision_config={**sizes, "image_size": SIDE, "patch_size": 8},
    )  # fmt: skip
    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return save(folder, shaken(GitForCausalLM(config)), GitProcessor(images, tokenizer))


def blip2(folder: Path, *, encoder: bool = False, marked: bool = True) -> Path:
    """With OPT as its language model, or with T5, which has an encoder.

    marked : with a token for the picture, which checkpoints of older versions lack
    """
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
        OPTConfig,
        T5Config,
    )

    words = (*WORDS, "question", "answer", ":")
    marks = {"end": "</s>"} if encoder else {"begin": "</s>"}
    special = ("<pad>", "<s>", "</s>", "<unk>", *(["<image>"] if marked else []))
    tokenizer = marked_tokenizer(special, words=words, **marks)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    size = len(tokenizer)
    if encoder:
        text = T5Config(
            vocab_size=size, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
            pad_token_id=0, eos_token_id=2, decoder_start_token_id=0,
        )  # fmt: skip
    else:
        text = OPTConfig(
            **sizes, vocab_size=size, ffn_dim=32, word_embed_proj_dim=16,
            max_position_embeddings=128, pad_token_id=0, bos_token_id=2, eos_token_id=2,
        )  # fmt: skip
    config = Blip2Config(
        text_config=text, num_query_tokens=4, image_token_index=4 if marked else None,
        vision_config={**sizes, "intermediate_size": 32, "image_size": SIDE, "patch_size": 8},
        qformer_config={**sizes, "intermediate_size": 32, "vocab_size": size},
    )  # fmt: skip
    processor = Blip2Processor(
        BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer, num_query_tokens=4
    )
    return save(folder, shaken(Blip2ForConditionalGeneration(config), silent=range(5)), processor)


def kosmos2(folder: Path) -> Path:
    from transformers import (
        CLIPImageProcessor,
        Kosmos2Config,
        Kosmos2ForConditionalGeneration,
        Kosmos2Processor,
    )

    words = (*WORDS, "question", "answer", ":", "an", "image")
    # The ids behind the unknown one stand for the places of the picture.
    special = ("<pad>", "<s>", "</s>", "<unk>", *(f"<image_place_{n}>" for n in range(64)))
    tokenizer = marked_tokenizer(special, words=words)
    # Squashed to a square, as its authors did: its places are of the whole picture.
    square = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessor(size=square, crop_size=square)
    processor = Kosmos2Processor(images, tokenizer)
    config = Kosmos2Config(
        text_config={
            "vocab_size": len(tokenizer), "embed_dim": 16, "layers": 2, "ffn_dim": 32,
            "attention_heads": 2, "max_position_embeddings": 512,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8,
        },
        latent_query_num=64,
    )  # fmt: skip
    places = [n for n in range(len(tokenizer)) if not 0 <= n - len(special) < len(words)]
    model = shaken(Kosmos2ForConditionalGeneration(config), silent=places)
    return save(folder, model, processor)


def paligemma(folder: Path) -> Path:
    from transformers import (
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessor,
    )

    words = (*WORDS, "caption", "answer", "detect", "en", ";", "one", "small", "big")
    special = ("<pad>", "<bos>", "<eos>", "<unk>")
    tokenizer = marked_tokenizer(special, words=words)
    images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    images.image_seq_length = (SIDE // 8) ** 2
    processor = PaliGemmaProcessor(images, tokenizer)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    config = PaliGemmaConfig(
        text_config={
            **sizes, "model_type": "gemma", "vocab_size": len(tokenizer), "head_dim": 8,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 1024,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
        vision_config={
            **sizes, "model_type": "siglip_vision_model", "num_attention_heads": 2,
            "image_size": SIDE, "patch_size": 8, "vision_use_head": False,
        },
        projection_dim=16, hidden_size=16, vocab_size=len(tokenizer),
        image_token_index=processor.image_token_id,
    )  # fmt: skip
    places = [n for n in range(len(tokenizer)) if not 0 <= n - len(special) < len(words)]
    model = shaken(PaliGemmaForConditionalGeneration(config), silent=places)
    return save(folder, model, processor)


def byte_tokenizer(special: Sequence[str], added: Sequence[str] = (), **named: str):
    """One token per byte, as byte-level tokenizers without merges: any text, any script.

    special : its first ids; begin, padding, end and unknown come first, as BART has them
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=special[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], pad_token=special[1],
        eos_token=special[2], unk_token=special[3],
        extra_special_tokens={name: token for name, token in named.items()},
        additional_special_tokens=list(special[4:]),
    )  # fmt: skip
    fast.add_tokens([AddedToken(token, normalized=False) for token in added], special_tokens=True)
    return fast


def florence2(folder: Path) -> Path:
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    places = [f"<loc_{n}>" for n in range(1000)]
    marks = ["<od>", "</od>", "<ocr>", "</ocr>", "<poly>", "</poly>", "<sep>", "<ground>"]
    tokenizer = byte_tokenizer(
        ("<s>", "<pad>", "</s>", "<unk>"), [*places, *marks, "<image>"], image_token="<image>"
    )
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 65  # a grid of 8 × 8 and its mean
    kinds = (
        "ocr", "phrase_grounding", "pure_text", "description_with_bboxes", "bboxes", "polygons",
        "description_with_polygons", "description_with_bboxes_or_polygons",
    )  # fmt: skip
    rules = {kind: {} for kind in kinds}
    rules["phrase_grounding"] = {"banned_grounding_tokens": ["the image", "it"]}
    processor = Florence2Processor(images, tokenizer, post_processor_config=rules)
    config = Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16,
            "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
            "max_position_embeddings": 256, "bos_token_id": 0, "pad_token_id": 1,
            "eos_token_id": 2, "decoder_start_token_id": 2, "forced_bos_token_id": 0,
        },
        vision_config={
            "depths": (1, 1), "patch_size": (7, 3), "patch_stride": (4, 2),
            "patch_padding": (3, 1), "patch_prenorm": (False, True), "embed_dim": (8, 16),
            "num_heads": (2, 2), "num_groups": (2, 2), "window_size": 4, "projection_dim": 16,
        },
        image_token_id=tokenizer.image_token_id,
    )  # fmt: skip
    model = shaken(Florence2ForConditionalGeneration(config), silent=[2])
    model.generation_config.update(num_beams=3, no_repeat_ngram_size=3, early_stopping=True)
    return save(folder, model, processor)


def trocr(folder: Path) -> Path:
    from transformers import (
        TrOCRConfig,
        TrOCRProcessor,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    tokenizer = marked_tokenizer(
        ("<pad>", "<s>", "</s>", "<unk>"), words=(*WORDS, *"bcdefghijklmnopqr")
    )
    sizes = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    decoder = TrOCRConfig(
        vocab_size=len(tokenizer), d_model=16, decoder_layers=2, decoder_attention_heads=2,
        decoder_ffn_dim=32, max_position_embeddings=128, cross_attention_hidden_size=16,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    encoder = ViTConfig(**sizes, image_size=SIDE, patch_size=8)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 0, 2
    model = shaken(VisionEncoderDecoderModel(config))
    model.generation_config.update(
        decoder_start_token_id=2, pad_token_id=0, eos_token_id=2, num_beams=4, max_length=10,
        length_penalty=2.0, early_stopping=True,
    )  # fmt: skip
    images = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    return save(folder, model, TrOCRProcessor(images, tokenizer))


def got_ocr2(folder: Path) -> Path:
    from transformers import (
        GotOcr2Config,
        GotOcr2ForConditionalGeneration,
        GotOcr2ImageProcessor,
        GotOcr2Processor,
    )

    special = ("<s>", "<|endoftext|>", "<|im_end|>", "<unk>", "<|im_start|>")
    tokenizer = byte_tokenizer(
        special, ["<img>", "</img>", "<imgpad>"], image_token="<imgpad>", start="<|im_start|>"
    )
    processor = GotOcr2Processor(
        GotOcr2ImageProcessor(size={"height": 128, "width": 128}), tokenizer
    )
    config = GotOcr2Config(
        text_config={
            "model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": 16,
            "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 1,
            "bos_token_id": 1, "eos_token_id": 1, "tie_word_embeddings": True,
        },
        vision_config={
            "hidden_size": 16, "output_channels": 8, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": 128, "patch_size": 16, "window_size": 4,
            "global_attn_indexes": [1], "mlp_dim": 32, "initializer_range": 0.02,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"), pad_token_id=1,
    )  # fmt: skip
    model = shaken(GotOcr2ForConditionalGeneration(config))
    model.generation_config.update(pad_token_id=1, eos_token_id=1)
    return save(folder, model, processor)


def vit_gpt2(folder: Path) -> Path:
    from transformers import (
        GPT2Config,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    tokenizer = marked_tokenizer(("<pad>", "<s>", "<|endoftext|>", "<unk>"))
    decoder = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=128,
        bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    encoder = ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=8,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = shaken(VisionEncoderDecoderModel(config), silent=range(4))
    model.generation_config.update(
        decoder_start_token_id=2, eos_token_id=2, num_beams=4, max_length=16
    )
    tokenizer.save_pretrained(folder)
    return save(folder, model, ViTImageProcessor(size={"height": SIDE, "width": SIDE}))
