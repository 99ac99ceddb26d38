"""GIT: the same words as transformers writes on odd pictures; a question is cut from its answer."""

from __future__ import annotations

import pytest
import tiny_writers
import torch
from transformers import GitForCausalLM, GitProcessor

from vlmtool_core.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.git(tmp_path_factory.mktemp("m") / "git")


def expected(folder, frames, text=None):
    """Whole sentences, and what stands in them behind the text."""
    model, processor = (
        GitForCausalLM.from_pretrained(folder).eval(),
        GitProcessor.from_pretrained(folder),
    )
    whole, behind = [], []
    for picture in tiny_writers.pictures_of(frames):
        inputs = dict(processor(images=picture, return_tensors="pt"))
        if text:
            ids = processor(text=text, add_special_tokens=False).input_ids
            inputs["input_ids"] = torch.tensor([[processor.tokenizer.cls_token_id, *ids]])
        start = inputs["input_ids"].shape[1] if text else 1
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=64)
        whole.append(processor.decode(tokens[0], skip_special_tokens=True).strip())
        behind.append(processor.decode(tokens[0, start:], skip_special_tokens=True).strip())
    return whole, behind


@pytest.mark.parametrize("prompt", [None, "a picture of"])
def test_captions_are_those_of_transformers(folder, engine_of, odd_pictures, prompt):
    outcomes = engine_of(folder).caption(odd_pictures, prompt=prompt, model="git")
    said = [outcome.text for outcome in outcomes]
    assert said == expected(folder, odd_pictures, prompt)[0]
    assert len(set(said)) > 1


def test_the_question_is_cut_from_the_answer(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).ask(odd_pictures, "what is this?", model="git")
    whole, behind = expected(folder, odd_pictures, "what is this?")
    assert [outcome.text for outcome in outcomes] == behind
    assert all(text.startswith("what is this ?") for text in whole)


def test_a_batch_says_what_its_pictures_say_alone(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    together = engine.ask(odd_pictures, "is this a dog?", model="git")
    alone = [engine.ask([f], "is this a dog?", model="git")[0] for f in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_it_runs_without_sdpa(folder, engine_of):
    with pytest.raises(ValueError, match="scaled_dot_product_attention"):
        GitForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    assert engine_of(folder).family("git")._model.config._attn_implementation == "eager"


def test_a_question_longer_than_the_model_is_refused(folder, engine_of, odd_pictures):
    with pytest.raises(UsageError, match="too long") as caught:
        engine_of(folder).ask(odd_pictures[:1], "what " * 500, model="git")
    assert caught.value.field == "question"
