"""The starter's detect, read, caption and ask on real photographs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vlmtool_core.engine.pictures.geometry import overlap
from vlmtool_core.engine.texts.wording import GLUE_WORDS, words_of
from vlmtool_core.records import Frame, Label, OutcomeStatus

pytestmark = pytest.mark.model

FACE = (180, 60, 275, 180)  # the astronaut's, in pixels, drawn by hand


def iou(box, wanted) -> float:
    return float(overlap(np.array(box.xyxy), np.array([wanted], dtype=float))[0])


def test_the_face_is_found_and_nothing_else(engine, photo):
    found, none = engine.detect([photo("astronaut"), photo("coffee")])
    assert len(found.boxes) == 1
    assert found.boxes[0].label == "face"
    assert iou(found.boxes[0], FACE) > 0.7
    assert none.status is OutcomeStatus.EMPTY
    assert none.boxes == ()


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_boxes_are_in_pixels_of_the_source(engine, photo, factor):
    frame = photo("astronaut")
    size = (round(512 * factor), round(512 * factor))
    shown = dataclasses.replace(frame, source_size=size)
    box = engine.detect([shown], [Label("face")])[0].boxes[0]
    assert iou(box, [v * factor for v in FACE]) > 0.7


def test_a_face_in_a_picture_that_is_not_square(engine, photo):
    wide = np.zeros((600, 1500, 3), np.uint8)
    wide[50:562, 900:1412] = photo("astronaut").pixels
    box = engine.detect([Frame(wide)])[0].boxes[0]
    assert iou(box, (FACE[0] + 900, FACE[1] + 50, FACE[2] + 900, FACE[3] + 50)) > 0.7


@pytest.mark.parametrize("shape", [(1, 200, 3), (200, 1, 3), (3, 3, 3)])
@pytest.mark.parametrize("labels", [None, [Label("face"), Label("text"), Label("cat")]])
def test_tiny_frames_hold_nothing_and_break_nothing(engine, shape, labels):
    frame = Frame(np.full(shape, 90, np.uint8), source_size=(shape[1] * 4, shape[0] * 4))
    outcome = engine.detect([frame], labels)[0]
    assert outcome.status in {OutcomeStatus.EMPTY, OutcomeStatus.OK}
    for box in outcome.boxes:
        assert 0 <= box.x1 < box.x2 <= shape[1] * 4
        assert 0 <= box.y1 < box.y2 <= shape[0] * 4


@pytest.mark.parametrize(
    ("name", "label", "wanted"),
    [
        ("rocket", "rocket", (290, 130, 350, 410)),
        ("chelsea", "cat", (0, 0, 380, 300)),
        ("coffee", "cup", (80, 10, 440, 390)),
        ("flower", "flower", (170, 80, 450, 360)),
    ],
)
def test_open_vocabulary_is_coarse_but_in_the_right_place(engine, photo, name, label, wanted):
    frame = photo(name)
    boxes = engine.detect([frame], [Label(label)], threshold=0.6)[0].boxes
    assert boxes
    best = boxes[0]
    x, y = (best.x1 + best.x2) / 2, (best.y1 + best.y2) / 2
    near = wanted[0] - 40 <= x <= wanted[2] + 40 and wanted[1] - 40 <= y <= wanted[3] + 70
    assert near, best
    width, height = frame.size
    assert all(0 <= b.x1 < b.x2 <= width and 0 <= b.y1 < b.y2 <= height for b in boxes)


def test_what_is_not_there_is_not_found(engine, photo):
    outcome = engine.detect([photo("chelsea")], [Label("airplane"), Label("newspaper")])[0]
    assert outcome.status is OutcomeStatus.EMPTY


def test_each_label_goes_to_its_finder(engine, photo):
    labels = [Label("space suit"), Label("faces"), Label("text")]
    outcome = engine.detect([photo("astronaut")], labels)[0]
    assert {box.label for box in outcome.boxes} >= {"space suit", "faces"}
    assert set(outcome.provenance) == {"starter-faces", "starter-vision", "rapidocr"}
    scores = [box.score for box in outcome.boxes]
    assert scores == sorted(scores, reverse=True)


def test_a_page_is_read_in_order(engine, photo):
    frame = dataclasses.replace(photo("page"), source_size=(768, 382))
    outcome = engine.read([frame])[0]
    assert outcome.lines[0].text.startswith("Region-based")
    assert "determine markers of the coins" in outcome.text
    tops = [min(y for _, y in line.quad) for line in outcome.lines]
    assert tops == sorted(tops)
    for line in outcome.lines:
        assert all(0 <= x <= 768 and 0 <= y <= 382 for x, y in line.quad)
        assert len(line.quad) == 4
        (left, _), (right, _) = line.quad[:2]
        assert left < right
    assert max(y for line in outcome.lines for _, y in line.quad) > 250


def test_two_columns_are_read_one_after_the_other(engine):
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (1000, 320), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(26)
    left = ["The quick brown fox jumps", "over the lazy dog while", "nobody looks at them"]
    right = ["A second column begins", "beside the first one and", "ends on this very line"]
    for n, (one, two) in enumerate(zip(left, right, strict=True)):
        draw.text((40, 60 + 60 * n), one, "black", font)
        draw.text((560, 63 + 60 * n), two, "black", font)
    outcome = engine.read([Frame(np.array(page))])[0]
    words = outcome.text.lower().split()
    places = [words.index(word) for word in ("quick", "lazy", "nobody", "second", "beside", "very")]
    assert places == sorted(places)


def test_a_blank_page_is_empty(engine):
    outcome = engine.read([Frame(np.full((200, 300, 3), 255, np.uint8))])[0]
    assert outcome.status is OutcomeStatus.EMPTY
    assert outcome.lines == ()


def test_captions_rest_on_their_evidence(engine, photo):
    names = ("astronaut", "coffee", "chelsea", "page", "china", "grass")
    outcomes = dict(zip(names, engine.caption([photo(name) for name in names]), strict=True))
    assert outcomes["grass"].status is OutcomeStatus.EMPTY
    assert "face" in outcomes["astronaut"].text
    assert "coffee" in outcomes["coffee"].text
    assert "cat" in outcomes["chelsea"].text
    assert '"Region-based segmentation' in outcomes["page"].text
    for outcome in outcomes.values():
        if outcome.text is None:
            continue
        allowed = GLUE_WORDS | {"possibly", "one", "text"}
        allowed |= {word for item in outcome.evidence for word in words_of(item.text)}
        assert set(words_of(outcome.text)) <= allowed
        assert outcome.text.endswith(".")
        assert outcome.evidence


def test_weak_evidence_is_listed_and_not_stated(engine):
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (640, 480), (90, 140, 220))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 300, 640, 480), fill=(60, 150, 60))
    draw.ellipse((480, 40, 560, 120), fill=(250, 230, 60))
    draw.polygon([(100, 300), (100, 200), (180, 140), (260, 200), (260, 300)], fill=(180, 80, 60))
    outcome = engine.caption([Frame(np.array(page))])[0]
    assert outcome.status is OutcomeStatus.OK
    assert outcome.text == "No clear subject was found by this model."
    assert outcome.provenance["written_by"] == "template"
    assert [item.kind for item in outcome.evidence] == ["tag"] * len(outcome.evidence)
    assert outcome.evidence
    assert all(0 < item.score < 0.4 for item in outcome.evidence)


def test_families_load_without_a_word(starter_store, photo, capfd):
    from vlmtool_core.engine import Engine

    Engine(starter_store, device="cpu").caption([photo("coffee")])
    assert capfd.readouterr() == ("", "")


def test_a_batch_of_captions_equals_its_frames_alone(engine, photo):
    frames = [photo("coffee"), photo("astronaut"), photo("china")]
    together = [outcome.text for outcome in engine.caption(frames)]
    assert together == [engine.caption([frame])[0].text for frame in frames]


def test_an_xray_is_described_by_its_header_not_by_everyday_classes(engine, photo):
    facts = {"modality": "DX", "body_part": "CHEST", "view": "PA", "patient": "Doe^Jane"}
    frame = dataclasses.replace(photo("moon"), provenance={"facts": facts})
    outcome = engine.caption([frame])[0]
    assert outcome.text == "A frontal X-ray picture of the chest."
    assert "Doe" not in repr(outcome)


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("astronaut", "How many faces are there?", "One face."),
        ("astronaut", "Is there a face?", "Yes: one face."),
        ("coffee", "Is there a face in the picture?", "No face was found."),
        ("chelsea", "Is there a cat in the picture?", "Yes, probably a cat."),
        ("chelsea", "Is there an airplane?", "No sign of an airplane was found."),
        ("chelsea", "Is it a cat or a truck?", "A cat."),
        ("chelsea", "What is this?", "A picture of a cat."),
    ],
)
def test_questions_that_the_evidence_answers(engine, photo, name, question, answer):
    outcome = engine.ask([photo(name)], question)[0]
    assert outcome.status is OutcomeStatus.OK
    assert outcome.text == answer
    assert bool(outcome.evidence) == (answer != "No face was found.")


def test_reading_is_an_answer_too(engine, photo):
    outcome = engine.ask([photo("page")], "What does it say?")[0]
    assert "Region-based segmentation" in outcome.text
    assert {item.kind for item in outcome.evidence} == {"text"}


@pytest.mark.parametrize(
    "question",
    [
        "Why is the cat sad?",
        "What colour is the cat?",
        "How many cats are there?",
        "Is there a flibbertigibbet?",
        "Is there a 猫?",
        "Which modality is it?",
        "Is the patient healthy?",
        "?",
    ],
)
def test_what_the_starter_cannot_tell(engine, photo, question):
    outcome = engine.ask([photo("chelsea")], question)[0]
    assert outcome.status is OutcomeStatus.OK
    assert outcome.text == "This model cannot tell."
    assert outcome.evidence == ()
