"""PaliGemma: the words of transformers on odd pictures, and boxes from place tokens."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_writers
import torch
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from vlmtool_core.engine.families.paligemma import located
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, OutcomeStatus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.paligemma(tmp_path_factory.mktemp("m") / "paligemma")


def expected(folder, frames, text):
    model = PaliGemmaForConditionalGeneration.from_pretrained(folder).eval()
    processor = PaliGemmaProcessor.from_pretrained(folder)
    said = []
    for picture in tiny_writers.pictures_of(frames):
        inputs = processor(images=picture, text=f"<image>{text}", return_tensors="pt")
        inputs.pop("labels", None)
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=128)
        new = tokens[0, inputs["input_ids"].shape[1] :]
        said.append(processor.decode(new, skip_special_tokens=True).strip())
    return said


@pytest.mark.parametrize("prompt", [None, "small picture of"])
def test_captions_are_those_of_transformers(folder, engine_of, odd_pictures, prompt):
    outcomes = engine_of(folder).caption(odd_pictures, prompt=prompt, model="paligemma")
    said = [outcome.text for outcome in outcomes]
    assert said == expected(folder, odd_pictures, prompt or "caption en")
    assert len(set(said)) > 1


def test_answers_are_those_of_transformers(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).ask(odd_pictures, "what is this?", model="paligemma")
    wanted = expected(folder, odd_pictures, "answer en what is this?")
    assert [outcome.text for outcome in outcomes] == wanted


def test_a_batch_says_what_its_pictures_say_alone(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    together = engine.caption(odd_pictures, model="paligemma")
    alone = [engine.caption([frame], model="paligemma")[0] for frame in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_prompts_of_a_batch_are_filled_up_on_the_left(folder, engine_of, odd_pictures):
    """Filled up on the right, the text of a shorter prompt would go on behind the filling."""
    family = engine_of(folder).family("paligemma")
    texts = ["caption en", "answer en what is this?"]
    inputs = family._inputs(odd_pictures[:2], [f"<image>{text}" for text in texts])
    inputs.pop("labels", None)
    mask = inputs["attention_mask"]
    assert mask[0, 0] == 0
    assert mask[:, -1].all()
    written = family._decoded(family._write(inputs, inputs["input_ids"].shape[1]).new)
    for text, frame, said in zip(texts, odd_pictures, written, strict=False):
        assert said == expected(folder, [frame], text)[0]


def test_places_become_boxes_in_pixels_of_the_source():
    text = (
        "<loc0256><loc0128><loc0512><loc0768> cat ; <loc0000><loc0512><loc1023><loc1023> Big Dog"
        " ; <loc0000><loc0000><loc0100><loc0100> bird<eos>"
    )
    frame = Frame(np.zeros((100, 300, 3), np.uint8), source_size=(600, 200))
    boxes = located(text, {"Katze": "cat", "Hund": "big dog"}, frame)
    assert [box.label for box in boxes] == ["Katze", "Hund"]
    assert boxes[0].xyxy == pytest.approx((600 / 8, 200 / 4, 600 * 3 / 4, 200 / 2))
    assert boxes[1].xyxy == pytest.approx((300, 0, 600 * 1023 / 1024, 200 * 1023 / 1024))
    assert all(box.score is None for box in boxes)


def test_broken_places_are_no_boxes():
    frame = Frame(np.zeros((100, 300, 3), np.uint8))
    for text in ("<loc0256><loc0128> cat", "cat", "<loc0900><loc0900><loc0100><loc0100> cat", ""):
        assert located(text, {"cat": "cat"}, frame) == []


def test_detection_finds_what_the_model_writes(folder, engine_of, odd_pictures, monkeypatch):
    """The model's words are put in its mouth; everything around them is real."""
    engine = engine_of(folder)
    family = engine.family("paligemma")
    words = "<loc0512><loc0000><loc1023><loc0512> cat ; <loc0000><loc0000><loc0100><loc0100> dog"
    ids = [*family._tokenizer(words)["input_ids"], 2]
    asked = []

    def generate(**inputs):
        asked.extend(family._decoded(inputs["input_ids"]))
        for n in ids:
            inputs["logits_processor"](inputs["input_ids"], torch.eye(2000)[[n]])
        rows = len(inputs["input_ids"])
        return torch.cat([inputs["input_ids"], torch.tensor([ids] * rows)], dim=1)

    monkeypatch.setattr(family._model, "generate", generate)
    outcomes = engine.detect(odd_pictures[:2], [Label("Cat"), Label("Remote")], model="paligemma")
    assert asked == ["detect cat ; remote"] * 2
    width, height = odd_pictures[0].size
    assert [box.label for box in outcomes[0].boxes] == ["Cat"]
    wanted = (0, height / 2, width / 2, height * 1023 / 1024)
    assert outcomes[0].boxes[0].xyxy == pytest.approx(wanted)
    assert outcomes[0].provenance["scores"] is False


def test_a_picture_without_places_is_empty(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).detect(odd_pictures, [Label("cat")], model="paligemma")
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.EMPTY}


def test_a_threshold_is_refused_for_boxes_without_scores(folder, engine_of, odd_pictures):
    with pytest.raises(UsageError, match="without scores") as caught:
        engine_of(folder).detect(odd_pictures[:1], [Label("cat")], threshold=0.3, model="paligemma")
    assert caught.value.field == "threshold"


def test_it_must_be_told_what_to_look_for(folder, engine_of, odd_pictures):
    with pytest.raises(UsageError, match="told what to look for"):
        engine_of(folder).detect(odd_pictures[:1], model="paligemma")


def test_placeholders_and_separators_in_labels_are_text(folder, engine_of, odd_pictures):
    labels = [Label("cat; dog"), Label("<image> bird"), Label("<loc0001> cat")]
    outcomes = engine_of(folder).detect(odd_pictures[:2], labels, model="paligemma")
    assert all(outcome.error is None for outcome in outcomes)
