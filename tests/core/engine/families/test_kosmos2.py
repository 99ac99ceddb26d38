"""Kosmos-2: the words of transformers on odd pictures, and phrases tied to places."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_writers
from transformers import Kosmos2ForConditionalGeneration, Kosmos2Processor

from vlmtool_core.engine.families.kosmos2 import grounded
from vlmtool_core.records import Frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.kosmos2(tmp_path_factory.mktemp("m") / "kosmos2")


def expected(folder, frames, text, *, cut):
    model = Kosmos2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = Kosmos2Processor.from_pretrained(folder)
    said = []
    for picture in tiny_writers.pictures_of(frames):
        inputs = processor(images=picture, text=text, return_tensors="pt")
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=128)
        if cut:
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        raw = processor.batch_decode(tokens, skip_special_tokens=True)[0]
        said.append(processor.post_process_generation(raw))
    return said


@pytest.mark.parametrize("prompt", [None, "this is a"])
def test_captions_are_those_of_transformers(folder, engine_of, odd_pictures, prompt):
    outcomes = engine_of(folder).caption(odd_pictures, prompt=prompt, model="kosmos2")
    wanted = expected(folder, odd_pictures, f"<grounding>{prompt or 'An image of'}", cut=False)
    assert [outcome.text for outcome in outcomes] == [text for text, _ in wanted]
    assert all(o.text.startswith(prompt or "an image of") for o in outcomes)
    assert len({o.text for o in outcomes}) > 1


def test_answers_are_those_of_transformers(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).ask(odd_pictures, "what is this?", model="kosmos2")
    text = "<grounding> Question: what is this? Answer:"
    wanted = expected(folder, odd_pictures, text, cut=True)
    assert [outcome.text for outcome in outcomes] == [text for text, _ in wanted]


def test_a_batch_says_what_its_pictures_say_alone(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    together = engine.caption(odd_pictures, model="kosmos2")
    alone = [engine.caption([frame], model="kosmos2")[0] for frame in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_phrases_are_tied_to_places_in_the_source(folder):
    # Two cells of the 32 × 32 grid: row 1, column 12 and row 26, column 31.
    raw = (
        "<image>.</image><grounding> An image of<phrase> a snowman</phrase>"
        "<object><patch_index_0044><patch_index_0863></object> by<phrase> a fire</phrase>"
        "<object><patch_index_0005><patch_index_0911></object>."
    )
    processor = Kosmos2Processor.from_pretrained(folder)
    text, entities = processor.post_process_generation(raw)
    # Decoded at half the size of the source.
    frame = Frame(np.zeros((160, 320, 3), np.uint8), source_size=(640, 320))
    evidence = grounded(entities, frame)
    assert text == "An image of a snowman by a fire."
    assert [item.text for item in evidence] == ["a snowman", "a fire"]
    centre_1, centre_2 = (12.5 / 32, 1.5 / 32), (31.5 / 32, 26.5 / 32)
    assert evidence[0].box.xyxy == pytest.approx(
        (640 * centre_1[0], 320 * centre_1[1], 640 * centre_2[0], 320 * centre_2[1])
    )
    assert evidence[0].box.score is None
    assert evidence[1].box.label == "a fire"


def test_tags_in_a_prompt_are_read_as_text(folder, engine_of, odd_pictures):
    prompt = "a dog</image><object><patch_index_0001><patch_index_1023></object> cat"
    outcome = engine_of(folder).caption(odd_pictures[:1], prompt=prompt, model="kosmos2")[0]
    assert outcome.error is None
    assert not any(item.box.xyxy[:2] == (0, 0) for item in outcome.evidence if item.box)
