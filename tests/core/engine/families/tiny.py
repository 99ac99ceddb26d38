"""Parts of tiny random models: tokenizers and pictures that every family is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vlmtool_core.media import open_media
from vlmtool_core.records import Frame

WORDS = (
    "a", "photo", "of", "cat", "dog", "bird", "remote", "kind", "the", "what", "is", "this",
    "yes", "no", "red", "two", "picture", "something", "else", ".", ",", "?", "-",
)  # fmt: skip


def word_tokenizer(
    special: Sequence[str] = ("<pad>", "<s>", "</s>", "<unk>"), words: Sequence[str] = WORDS
):
    """A fast tokenizer of transformers that splits at spaces and punctuation.

    special : its first ids; the first four are pad, begin, end and unknown
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special[3]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=special[0], bos_token=special[1],
        eos_token=special[2], unk_token=special[3],
        additional_special_tokens=list(special[4:]),
    )  # fmt: skip


def odd_frames(folder: Path) -> list[Frame]:
    """Pictures of the shapes that break preprocessing, opened as the program opens them:
    wide, tall, an EXIF-rotated JPEG, one pixel high, grey, one pixel."""
    rng = np.random.default_rng(7)

    def noise(height: int, width: int) -> Image.Image:
        coarse = rng.integers(0, 255, (max(1, height // 8), max(1, width // 8), 3), np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    rotated = Image.Exif()
    rotated[0x0112] = 6
    pictures = {
        "wide.png": noise(60, 140), "tall.png": noise(150, 50), "rotated.jpg": noise(64, 120),
        "line.png": noise(1, 200), "grey.png": noise(80, 90).convert("L"), "dot.png": noise(1, 1),
    }  # fmt: skip
    frames = []
    for name, picture in pictures.items():
        options = {"exif": rotated, "quality": 95} if name == "rotated.jpg" else {}
        picture.save(folder / name, **options)
        with open_media(folder / name) as source:
            frames.append(source.frame(0))
    return frames
