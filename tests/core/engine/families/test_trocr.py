"""TrOCR: lines found by the detector, read as transformers reads them, with honest scores."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tiny_writers
import torch
from PIL import Image
from transformers import TrOCRProcessor, VisionEncoderDecoderModel

from vlmtool_core.engine.packs.model_folder import read_model_folder
from vlmtool_core.engine.pictures.text_crops import rectified
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, OutcomeStatus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.trocr(tmp_path_factory.mktemp("m") / "trocr")


def page(*texts: str, turned: float = 0.0) -> Frame:
    """Printed lines, one below the other."""
    pixels = np.full((90 * len(texts) + 40, 640, 3), 255, np.uint8)
    for n, text in enumerate(texts):
        at = (30, 80 + 90 * n)
        cv2.putText(pixels, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3)
    if turned:
        height, width = pixels.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), turned, 1)
        pixels = cv2.warpAffine(pixels, turn, (width, height), borderValue=(255, 255, 255))
    return Frame(np.ascontiguousarray(pixels))


def expected(folder, crops):
    """Text of each crop, and exp of the mean log-probability of its tokens, one at a time."""
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    processor = TrOCRProcessor.from_pretrained(folder)
    read = []
    for crop in crops:
        pixels = processor(images=Image.fromarray(crop), return_tensors="pt").pixel_values
        output = model.generate(
            pixels, do_sample=False, num_beams=1, max_length=None, max_new_tokens=96,
            early_stopping=False, length_penalty=1.0,
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        steps = model.compute_transition_scores(
            output.sequences, output.scores, normalize_logits=True
        )
        score = float(torch.exp(steps[0].mean()))
        read.append((processor.decode(output.sequences[0], skip_special_tokens=True), score))
    return read


def test_lines_are_read_as_transformers_reads_them(folder, engine_of):
    engine = engine_of(folder)
    frames = [page("hello world", "second line"), page("a third")]
    outcomes = engine.read(frames, model="trocr")
    detector = engine.family("rapidocr")
    for frame, outcome in zip(frames, outcomes, strict=True):
        quads = sorted(detector.find_lines(frame), key=lambda quad: quad[:, 1].mean())
        wanted = expected(folder, [rectified(frame.pixels, quad) for quad in quads])
        assert len(wanted) >= 1
        assert [line.text for line in outcome.lines] == [text for text, _ in wanted]
        for line, (_, score) in zip(outcome.lines, wanted, strict=True):
            assert line.score == pytest.approx(score, abs=1e-4)
            assert 0 < line.score < 1
    assert len(outcomes[0].lines) == 2
    assert outcomes[0].text == "\n".join(line.text for line in outcomes[0].lines)
    assert outcomes[0].provenance["detector"] == "rapidocr"


def test_a_batch_reads_what_its_pictures_read_alone(folder, engine_of):
    engine = engine_of(folder)
    frames = [page("first page", "and more"), page("another")]
    together = engine.read(frames, model="trocr")
    alone = [engine.read([frame], model="trocr")[0] for frame in frames]
    assert [o.text for o in together] == [o.text for o in alone]
    scores = [[line.score for line in o.lines] for o in together]
    assert scores[0] == pytest.approx([line.score for line in alone[0].lines], abs=1e-5)


def test_places_refer_to_the_source(folder, engine_of):
    whole = page("measured")
    half = cv2.resize(whole.pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    width, height = whole.size
    small = Frame(half, source_size=(width, height))
    engine = engine_of(folder)
    for outcome in engine.read([whole, small], model="trocr"):
        corners = np.array(outcome.lines[0].quad)
        assert corners[:, 0].min() == pytest.approx(30, abs=20)
        assert 40 < corners[:, 1].mean() < 90
        assert 200 < corners[:, 0].max() - corners[:, 0].min() < 320


def test_pictures_without_text_are_empty(folder, engine_of, odd_pictures):
    outcomes = engine_of(folder).read([odd_pictures[3], odd_pictures[5]], model="trocr")
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.EMPTY}


def test_a_prompt_is_refused_by_a_reader_of_one_way(folder, engine_of):
    with pytest.raises(UsageError, match="one way only") as caught:
        engine_of(folder).read([page("hello")], prompt="formatted", model="trocr")
    assert caught.value.field == "prompt"


def test_a_slanted_line_is_made_straight():
    """The crop of a turned page shows the same letters as that of the straight one."""
    straight, turned = page("straighten"), page("straighten", turned=12)
    width, height = straight.size
    quad = np.array([(20, 30), (350, 30), (350, 100), (20, 100)], np.float32)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 12, 1)
    moved = cv2.transform(quad[None], turn)[0]
    wanted = rectified(straight.pixels, quad).astype(float)
    got = rectified(turned.pixels, moved).astype(float)
    assert got.shape == wanted.shape
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.9
    # A crop of the bounding box, which shows the line slanted, is far from it.
    x1, y1 = moved.min(axis=0).astype(int).clip(0)
    x2, y2 = moved.max(axis=0).astype(int)
    box = cv2.resize(turned.pixels[y1:y2, x1:x2], wanted.shape[1::-1]).astype(float)
    assert np.corrcoef(box.ravel(), wanted.ravel())[0, 1] < 0.5


def test_a_line_from_top_to_bottom_is_turned():
    pixels = np.zeros((200, 40, 3), np.uint8)
    pixels[:20] = 255
    upright = rectified(pixels, np.array([(0, 0), (40, 0), (40, 200), (0, 200)]))
    assert upright.shape == (40, 200, 3)
    assert upright[:, :18].mean() > 250
    assert upright[:, 25:].mean() < 5


def test_other_models_of_encoder_and_decoder_are_not_taken_for_it(folder, tmp_path):
    model = read_model_folder(folder)
    assert family_of_folder(model).name == "trocr"
    donut = type(model)({**model.config, "decoder": {"model_type": "mbart"}})
    other = family_of_folder(donut)
    assert other is None or other.name != "trocr"
