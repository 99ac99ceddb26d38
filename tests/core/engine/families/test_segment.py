"""Segmenters against transformers' own model and post-processing, prompts in source pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from segment_models import BUILDERS, SIDE

from vlmtool_core.engine.pictures.rle import decode_mask
from vlmtool_core.errors import MissingPackError, TaskNotServedError, UsageError
from vlmtool_core.records import Frame, OutcomeStatus, SegmentPrompt, Task

PROCESSORS = {"sam": "SamProcessor", "sam-hq": "SamHQProcessor"}


@pytest.fixture(scope="module", params=BUILDERS)
def folder(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / request.param
    path.mkdir()
    return BUILDERS[request.param](path)


def prompts_for(frame: Frame) -> list[SegmentPrompt]:
    width, height = frame.size
    on, beside = (width * 0.4, height * 0.5, True), (width * 0.8, height * 0.2, False)
    box = (width * 0.1, height * 0.2, width * 0.7, height * 0.9)
    return [
        SegmentPrompt((on,), label="one point"),
        SegmentPrompt((on, beside)),
        SegmentPrompt(box=box),
        SegmentPrompt((on, beside), box),
    ]


def own_mask(folder: Path, frame: Frame, prompt: SegmentPrompt) -> tuple[np.ndarray, float]:
    """(bool (h, w), predicted IoU) of transformers' own processor and model."""
    import transformers

    name = PROCESSORS.get(folder.name, "Sam2Processor")
    processor = getattr(transformers, name).from_pretrained(folder)
    model = transformers.AutoModelForMaskGeneration.from_pretrained(folder).eval()
    given: dict[str, Any] = {}
    if prompt.points:
        given["input_points"] = [[[[x, y] for x, y, _ in prompt.points]]]
        given["input_labels"] = [[[int(positive) for *_, positive in prompt.points]]]
    if prompt.box is not None:
        given["input_boxes"] = [[list(prompt.box)]]
    inputs = processor(images=[Image.fromarray(frame.pixels)], **given, return_tensors="pt")
    sizes = [inputs.pop(key) for key in ("original_sizes", "reshaped_input_sizes") if key in inputs]
    inputs = {
        key: value.float() if value.is_floating_point() else value for key, value in inputs.items()
    }
    with torch.inference_mode():
        output = model(**inputs, multimask_output=True)
    masks = processor.post_process_masks([output.pred_masks[0]], *sizes)[0]
    best = int(output.iou_scores[0, 0].argmax())
    return masks[0, best].numpy(), float(output.iou_scores[0, 0, best])


def test_masks_are_those_of_the_model(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    assert engine.store.pack(folder.name).tasks == (Task.SEGMENT,)
    any_holds = any_lacks = False
    for frame in odd_pictures:
        if min(frame.pixels.shape[:2]) * SIDE < max(frame.pixels.shape[:2]) / 2:
            continue
        outcome = engine.segment(frame, prompts_for(frame), model=folder.name)
        assert len(outcome.masks) == 4
        assert outcome.masks[0].label == "one point"
        for mask, prompt in zip(outcome.masks, prompts_for(frame), strict=True):
            pixels, score = own_mask(folder, frame, prompt)
            assert mask.size == (frame.size[1], frame.size[0])
            found = decode_mask(mask)
            assert (found != pixels).mean() < 1e-3
            assert mask.score == pytest.approx(min(1, max(0, score)), abs=1e-4)
            any_holds, any_lacks = any_holds or found.any(), any_lacks or not found.all()
    assert any_holds
    assert any_lacks


def test_a_second_click_costs_only_the_decoder(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    family = engine.family(folder.name)
    calls: list[int] = []
    encoder = family._model.vision_encoder
    hook = encoder.register_forward_hook(lambda *_: calls.append(1))
    first, other = odd_pictures[0], odd_pictures[1]
    one, two, *_ = prompts_for(first)
    engine.segment(first, [one, two], model=folder.name)
    again = engine.segment(Frame(first.pixels.copy()), [two], model=folder.name)
    assert len(calls) == 1
    engine.segment(other, prompts_for(other)[:1], model=folder.name)
    engine.segment(first, [one], model=folder.name)
    assert len(calls) == 3
    hook.remove()
    pixels, _ = own_mask(folder, first, two)
    assert (decode_mask(again.masks[0]) != pixels).mean() < 1e-3


def test_trap_prompts_are_in_pixels_of_the_source_not_of_what_was_decoded(folder, engine_of):
    rng = np.random.default_rng(3)
    small = np.asarray(
        Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8)).resize((90, 60)), np.uint8
    )
    engine = engine_of(folder)
    whole = engine.segment(Frame(small), [SegmentPrompt(((60, 20, True),))], model=folder.name)
    scaled = Frame(small, source_size=(270, 180))
    large = engine.segment(scaled, [SegmentPrompt(((180, 60, True),))], model=folder.name)
    assert large.masks[0].size == (180, 270)
    assert large.masks[0].score == pytest.approx(whole.masks[0].score, abs=1e-5)
    thinned = decode_mask(large.masks[0])[1::3, 1::3]
    assert (thinned != decode_mask(whole.masks[0])).mean() < 0.02


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "sam"
    path.mkdir()
    return BUILDERS["sam"](path)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (SegmentPrompt(), "neither points nor a box"),
        (SegmentPrompt(((-1, 5, True),)), "outside of the picture"),
        (SegmentPrompt(((5, float("nan"), True),)), "outside of the picture"),
        (SegmentPrompt(((1e9, 5, True),)), "outside of the picture"),
        (SegmentPrompt(box=(20, 5, 10, 9)), "x1 < x2"),
        (SegmentPrompt(box=(5, 5, 5, 9)), "x1 < x2"),
        (SegmentPrompt(box=(0, 0, float("inf"), 9)), "x1 < x2"),
        (SegmentPrompt(box=(500, 500, 600, 600)), "outside of the picture"),
    ],
)
def test_prompts_that_point_nowhere_are_refused(
    prompt, message, sam_folder, engine_of, odd_pictures
):
    engine = engine_of(sam_folder)
    with pytest.raises(UsageError, match=message):
        engine.segment(odd_pictures[0], [prompt], model="sam")
    with pytest.raises(UsageError, match="nothing is pointed at"):
        engine.segment(odd_pictures[0], [], model="sam")


def test_without_a_model_the_catalogue_is_named(sam_folder, engine_of, odd_pictures):
    prompt = SegmentPrompt(((1, 1, True),))
    with pytest.raises(MissingPackError) as none_installed:
        engine_of().segment(odd_pictures[0], [prompt])
    assert "models recommend --task segment" in none_installed.value.remedy
    engine = engine_of(sam_folder)
    with pytest.raises(MissingPackError) as none_named:
        engine.segment(odd_pictures[0], [prompt])
    assert "--model: sam" in none_named.value.remedy
    with pytest.raises(TaskNotServedError):
        engine.embed(odd_pictures, model="sam")
    with pytest.raises(TaskNotServedError):
        engine.enhance(odd_pictures[0], model="sam")


def test_a_picture_too_thin_fails_by_name(sam_folder, engine_of):
    thin = Frame(np.zeros((1, 20_000, 3), np.uint8))
    outcome = engine_of(sam_folder).segment(thin, [SegmentPrompt(((5, 0, True),))], model="sam")
    assert outcome.status is OutcomeStatus.FAILED
    assert "too thin" in outcome.error.message
