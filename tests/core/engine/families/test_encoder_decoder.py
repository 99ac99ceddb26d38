"""ViT with GPT-2: the same captions as transformers writes on odd pictures."""

from __future__ import annotations

import pytest
import tiny_writers
import torch
from transformers import AutoTokenizer, VisionEncoderDecoderModel, ViTImageProcessor

from vlmtool_core.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.vit_gpt2(tmp_path_factory.mktemp("m") / "vit-gpt2")


def expected(folder, frames, prompt=None):
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    images = ViTImageProcessor.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = []
    for picture in tiny_writers.pictures_of(frames):
        inputs = dict(images(images=picture, return_tensors="pt"))
        if prompt:
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            inputs["decoder_input_ids"] = torch.tensor([[2, *ids]])
        tokens = model.generate(
            **inputs, do_sample=False, num_beams=1, max_length=None, max_new_tokens=64
        )
        said.append(tokenizer.decode(tokens[0], skip_special_tokens=True).strip())
    return said


@pytest.mark.parametrize("prompt", [None, "a photo of"])
def test_captions_are_those_of_transformers(folder, engine_of, odd_pictures, prompt):
    outcomes = engine_of(folder).caption(odd_pictures, prompt=prompt, model="vit-gpt2")
    said = [outcome.text for outcome in outcomes]
    assert said == expected(folder, odd_pictures, prompt)
    assert len(set(said)) > 1
    assert all(text.startswith(prompt or "") for text in said)


def test_a_batch_says_what_its_pictures_say_alone(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    together = engine.caption(odd_pictures, model="vit-gpt2")
    alone = [engine.caption([frame], model="vit-gpt2")[0] for frame in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_a_prompt_longer_than_the_model_is_refused(folder, engine_of, odd_pictures):
    with pytest.raises(UsageError, match="too long"):
        engine_of(folder).caption(odd_pictures[:1], prompt="a dog " * 250, model="vit-gpt2")
