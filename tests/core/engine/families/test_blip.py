"""BLIP: the same words as transformers writes on odd pictures, alone and behind a prompt."""

from __future__ import annotations

import pytest
import tiny_writers
import torch
from transformers import BlipForConditionalGeneration, BlipForQuestionAnswering, BlipProcessor

from vlmtool_core.errors import TaskNotServedError, UsageError
from vlmtool_core.records import OutcomeStatus


@pytest.fixture(scope="module")
def captions(tmp_path_factory):
    return tiny_writers.blip(tmp_path_factory.mktemp("m") / "blip")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return tiny_writers.blip(tmp_path_factory.mktemp("m") / "blip-vqa", answers=True)


def expected(model, processor, frames, text=None, most=64):
    said = []
    for picture in tiny_writers.pictures_of(frames):
        texts = {} if text is None else {"text": text}
        inputs = processor(images=picture, return_tensors="pt", **texts)
        tokens = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=most)
        said.append(processor.decode(tokens[0], skip_special_tokens=True).strip())
    return said


@pytest.mark.parametrize("prompt", [None, "a photo of"])
def test_captions_are_those_of_transformers(captions, engine_of, odd_pictures, prompt):
    model = BlipForConditionalGeneration.from_pretrained(captions).eval()
    processor = BlipProcessor.from_pretrained(captions)
    outcomes = engine_of(captions).caption(odd_pictures, prompt=prompt, model="blip")
    said = [outcome.text for outcome in outcomes]
    assert said == expected(model, processor, odd_pictures, prompt)
    assert len(set(said)) > 1
    assert all(o.status is OutcomeStatus.OK for o in outcomes)
    if prompt:
        assert all(text.startswith(prompt) for text in said)
        assert outcomes[0].provenance["prompt"] == prompt
        assert "prompt_used" not in outcomes[0].provenance


def test_answers_are_those_of_transformers(answers, engine_of, odd_pictures):
    model = BlipForQuestionAnswering.from_pretrained(answers).eval()
    processor = BlipProcessor.from_pretrained(answers)
    question = "what is this?"
    outcomes = engine_of(answers).ask(odd_pictures, question, model="blip-vqa")
    said = [outcome.text for outcome in outcomes]
    assert said == expected(model, processor, odd_pictures, question)
    assert not any(text.startswith("what is this") for text in said)


def test_a_batch_says_what_its_pictures_say_alone(captions, engine_of, odd_pictures):
    engine = engine_of(captions)
    together = engine.caption(odd_pictures, prompt="a dog", model="blip")
    alone = [engine.caption([f], prompt="a dog", model="blip")[0] for f in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_each_checkpoint_serves_its_own_task(captions, answers, engine_of, odd_pictures):
    engine = engine_of(captions, answers)
    with pytest.raises(TaskNotServedError, match="serves caption"):
        engine.ask(odd_pictures[:1], "what is this?", model="blip")
    with pytest.raises(TaskNotServedError, match="serves ask"):
        engine.caption(odd_pictures[:1], model="blip-vqa")


def test_it_runs_without_sdpa(captions, engine_of):
    # transformers has no other attention than the eager one for it, and refuses to be asked.
    with pytest.raises(ValueError, match="scaled_dot_product_attention"):
        BlipForConditionalGeneration.from_pretrained(captions, attn_implementation="sdpa")
    family = engine_of(captions).family("blip")
    assert family._model.config._attn_implementation == "eager"


def test_provenance_tells_how_it_was_written(captions, engine_of, odd_pictures):
    said = engine_of(captions).caption(odd_pictures[:1], model="blip")[0].provenance
    assert said["generation"] == {"method": "greedy", "most_tokens": 64}
    assert said["input"] == [tiny_writers.SIDE, tiny_writers.SIDE]
    assert said["processor"]["size"] == {"height": tiny_writers.SIDE, "width": tiny_writers.SIDE}


def test_beams_of_the_checkpoint_are_set_aside(captions, engine_of, odd_pictures, tmp_path):
    folder = tiny_writers.blip(tmp_path / "beams")
    model = BlipForConditionalGeneration.from_pretrained(folder)
    model.generation_config.update(num_beams=3, max_length=5, early_stopping=True)
    model.save_pretrained(folder)
    engine = engine_of(captions, folder)
    plain, beams = (engine.caption(odd_pictures, model=name) for name in ("blip", "beams"))
    assert [o.text for o in beams] == [o.text for o in plain]


@pytest.mark.parametrize(
    ("prompt", "wrong"),
    [("  ", "empty"), ("a dog " * 500, "too long: 1000 tokens"), ("这是什么", "reads no word")],
)
def test_prompts_that_cannot_be_used_are_refused(captions, engine_of, odd_pictures, prompt, wrong):
    with pytest.raises(UsageError, match=wrong) as caught:
        engine_of(captions).caption(odd_pictures[:1], prompt=prompt, model="blip")
    assert caught.value.field == "prompt"


def test_tokens_in_a_prompt_are_read_as_text(captions, engine_of, odd_pictures):
    family = engine_of(captions).family("blip")
    safe = family._safe("a [SEP] cat [cls]", "prompt", 50)
    special = {family._tokenizer.sep_token_id, family._tokenizer.cls_token_id}
    assert not special & set(family._tokenizer(safe, add_special_tokens=False)["input_ids"])


def test_a_stop_between_two_tokens_ends_the_batch(captions, engine_of, odd_pictures):
    from vlmtool_core.engine.runtime.stopping import stoppable
    from vlmtool_core.errors import CancelledError
    from vlmtool_core.jobs import CancelToken

    engine, token, steps = engine_of(captions), CancelToken(), []
    decoder = engine.family("blip")._model.text_decoder

    def stop_at_third(*_):
        steps.append(1)
        if len(steps) == 3:
            token.cancel()

    decoder.register_forward_hook(stop_at_third)
    with torch.inference_mode(), stoppable(token), pytest.raises(CancelledError):
        engine.caption(odd_pictures, model="blip")
    assert len(steps) == 3
