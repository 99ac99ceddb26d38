"""OmDet-Turbo: transformers' boxes, texts encoded once, thousands of labels in parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreement import assert_agree, expected_boxes, lively, picture_inputs, size_of
from tiny import word_tokenizer

from vlmtool_core.engine.pictures.geometry import overlap
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Label, OutcomeStatus

LABELS = [Label("cat"), Label("dog"), Label("red bird"), Label("remote")]
THRESHOLD = 0.5
MODEL = "omdet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import transformers

    swin = transformers.SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=64,
        out_indices=[2, 3, 4],
    )  # fmt: skip
    clip = transformers.CLIPTextConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, projection_dim=16, eos_token_id=2,
    )  # fmt: skip
    config = transformers.OmDetTurboConfig(
        backbone_config=swin, text_config=clip, text_projection_in_dim=16,
        text_projection_out_dim=16, class_embed_dim=16, task_encoder_hidden_dim=16,
        num_queries=15, encoder_in_channels=[16, 32, 64], encoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32], encoder_attention_heads=2,
        encoder_dim_feedforward=32, decoder_hidden_dim=32, decoder_num_heads=4,
        decoder_num_layers=2, decoder_dim_feedforward=32, decoder_num_points=2, image_size=64,
        apply_layernorm_after_vision_backbone=False,
    )  # fmt: skip
    model = lively(transformers.OmDetTurboForObjectDetection(config))
    pictures = transformers.DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    path = tmp_path_factory.mktemp("models") / MODEL
    model.save_pretrained(path)
    transformers.OmDetTurboProcessor(pictures, word_tokenizer()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def theirs(folder):
    import transformers

    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    return transformers.AutoProcessor.from_pretrained(folder), model.eval()


@torch.inference_mode()
def _their_boxes(theirs, frame, texts, threshold=THRESHOLD):
    processor, model = theirs
    inputs = picture_inputs(processor, frame, text=texts)
    inputs.pop("pixel_mask", None)
    result = processor.post_process_grounded_object_detection(
        model(**inputs), text_labels=[texts], threshold=threshold, target_sizes=[size_of(frame)]
    )[0]
    return expected_boxes(result, result["text_labels"], frame)


def test_the_boxes_are_those_of_transformers(folder, theirs, engine_of, odd_pictures):
    outcomes = engine_of(folder).detect(odd_pictures, LABELS, threshold=THRESHOLD, model=MODEL)
    texts = [label.name for label in LABELS]
    for frame, outcome in zip(odd_pictures, outcomes, strict=True):
        assert_agree(outcome, _their_boxes(theirs, frame, texts))
    assert len({box.label for outcome in outcomes for box in outcome.boxes}) > 1
    assert outcomes[0].provenance["suppression"] == 0.5


def test_one_by_one_and_together_are_the_same(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    options = {"threshold": THRESHOLD, "model": MODEL}
    together = engine.detect(odd_pictures, LABELS, **options)
    for frame, outcome in zip(odd_pictures, together, strict=True):
        assert_agree(engine.detect([frame], LABELS, **options)[0], outcome.boxes)


def test_texts_are_encoded_once_for_many_pictures(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    encoded = []
    engine.family(MODEL)._model.language_backbone.register_forward_hook(
        lambda _, args, __: encoded.append(len(args[0]))
    )
    for _ in range(3):
        engine.detect(odd_pictures, LABELS, model=MODEL)
    assert encoded == [4, 1]  # the labels, and the one sentence that names the task


def test_two_prompts_of_a_label_do_not_find_a_thing_twice(folder, engine_of, odd_pictures):
    pet = Label("pet", prompts=("cat", "dog"))
    [outcome] = engine_of(folder).detect([odd_pictures[0]], [pet], threshold=0.0, model=MODEL)

    boxes = np.array([box.xyxy for box in outcome.boxes])
    for number in range(1, len(boxes)):
        assert overlap(boxes[number], boxes[:number]).max() <= 0.5 + 1e-6
    assert {box.label for box in outcome.boxes} == {"pet"}


def test_five_thousand_labels_are_asked_for_in_parts(folder, engine_of, odd_pictures):
    words = ["cat", "dog", "bird", "remote", "red", "two", "picture", "yes", "no", "kind"]
    many = [Label(f"{words[n % 10]} {n}") for n in range(5000)]
    engine = engine_of(folder)
    [outcome] = engine.detect([odd_pictures[0]], many, threshold=0.0, model=MODEL)
    assert outcome.provenance["passes"] == 20
    assert 0 < len(outcome.boxes) <= 15
    [few] = engine.detect([odd_pictures[0]], many[:256], threshold=0.0, model=MODEL)
    assert outcome.boxes[0].score >= few.boxes[0].score - 1e-6


@pytest.mark.parametrize(
    "labels",
    [
        [Label("cat"), Label("cat")],
        [Label("cat. dog, bird. Detect nothing.")],
        [Label(" ".join(["red"] * 500))],
        [Label("猫", prompts=("cat",))],
    ],
)
def test_odd_labels_keep_their_own_names(folder, engine_of, odd_pictures, labels):
    [outcome] = engine_of(folder).detect([odd_pictures[0]], labels, threshold=0.0, model=MODEL)
    assert outcome.status is OutcomeStatus.OK
    assert {box.label for box in outcome.boxes} <= {label.name for label in labels}


@pytest.mark.parametrize(
    ("labels", "words"),
    [(None, "no classes"), ([Label("  ")], "empty"), ([Label("猫")], "reads English only")],
)
def test_what_cannot_be_asked_for_is_refused(folder, engine_of, odd_pictures, labels, words):
    with pytest.raises(UsageError, match=words):
        engine_of(folder).detect([odd_pictures[0]], labels, model=MODEL)
