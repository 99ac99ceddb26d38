"""BLIP-2 with OPT and with T5: the same words as transformers writes on odd pictures."""

from __future__ import annotations

import json

import pytest
import tiny_writers
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from vlmtool_core.errors import UsageError


@pytest.fixture(scope="module", params=[False, True], ids=["opt", "t5"])
def folder(request, tmp_path_factory):
    return tiny_writers.blip2(tmp_path_factory.mktemp("m") / "blip2", encoder=request.param)


def expected(folder, frames, text=None):
    """What the language model wrote behind the picture and the text, one picture at a time."""
    model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = Blip2Processor.from_pretrained(folder)
    encoder = model.config.text_config.is_encoder_decoder
    if text is None and encoder:
        text = ""
    said = []
    for picture in tiny_writers.pictures_of(frames):
        inputs = processor(images=picture, text=text, return_tensors="pt")
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=64)[0]
        if not encoder and text is not None:
            tokens = tokens[inputs["input_ids"].shape[1] :]
        said.append(processor.decode(tokens, skip_special_tokens=True).strip())
    return said


def test_captions_are_those_of_transformers(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).caption(odd_pictures, model="blip2")
    said = [outcome.text for outcome in outcomes]
    assert said == expected(folder, odd_pictures)
    assert len(set(said)) > 1


def test_a_prompt_begins_the_sentence(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).caption(odd_pictures, prompt="A photo of", model="blip2")
    ends = expected(folder, odd_pictures, "A photo of")
    assert [outcome.text for outcome in outcomes] == [f"A photo of {end}" for end in ends]


def test_answers_are_those_of_transformers(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).ask(odd_pictures, "what is this?", model="blip2")
    wanted = expected(folder, odd_pictures, "Question: what is this? Answer:")
    assert [outcome.text for outcome in outcomes] == wanted
    assert not any(text.startswith("question") for text in wanted)


def test_a_batch_says_what_its_pictures_say_alone(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    together = engine.caption(odd_pictures, model="blip2")
    alone = [engine.caption([frame], model="blip2")[0] for frame in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_an_older_checkpoint_is_not_blind(engine_of, odd_pictures, tmp_path):
    """Without the place of the picture in the prompt, transformers answers without looking."""
    new = tiny_writers.blip2(tmp_path / "new")
    old = tiny_writers.blip2(tmp_path / "old")
    for name, field in (("config.json", "image_token_index"), ("processor_config.json", None)):
        settings = json.loads((old / name).read_text())
        assert settings.pop(field or "num_query_tokens") == 4
        (old / name).write_text(json.dumps(settings))
    engine = engine_of(new, old)
    for call in (engine.caption, lambda f, model: engine.ask(f, "what is this?", model=model)):
        wanted = [outcome.text for outcome in call(odd_pictures, model="new")]
        assert [outcome.text for outcome in call(odd_pictures, model="old")] == wanted
        assert len(set(wanted)) > 1


@pytest.mark.parametrize("encoder", [False, True])
def test_a_checkpoint_without_a_token_for_the_picture_gets_one(
    engine_of, odd_pictures, tmp_path, encoder
):
    folder = tiny_writers.blip2(tmp_path / "bare", encoder=encoder, marked=False)
    family = engine_of(folder).family("bare")
    embeddings = family._model.get_input_embeddings().num_embeddings
    assert family._model.config.image_token_index < embeddings
    outcomes = family.ask(odd_pictures, "what is this?")
    assert all(outcome.error is None for outcome in outcomes)
    assert len({outcome.text for outcome in outcomes}) > 1


def test_a_picture_placeholder_in_a_question_is_text(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    outcomes = engine.ask(odd_pictures[:2], "what <image> <image> is this</s>?", model="blip2")
    assert all(outcome.error is None and outcome.text for outcome in outcomes)


def test_a_question_longer_than_the_model_is_refused(folder, engine_of, odd_pictures):
    with pytest.raises(UsageError, match="too long"):
        engine_of(folder).ask(odd_pictures[:1], "what " * 600, model="blip2")
