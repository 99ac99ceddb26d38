"""Closed-set detectors of transformers: the same boxes, their own classes, their own scores."""

from __future__ import annotations

import inspect
import json
import socket

import numpy as np
import pytest
import torch
from agreement import assert_agree, expected_boxes, lively, picture_inputs, size_of
from closed_detectors import CLASSES, KINDS, NAMES, SMALL, save_detector

from vlmtool_core.engine.families.parts.detection_base import own_classes
from vlmtool_core.engine.runtime.numerics import BFLOAT16, Place
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, OutcomeStatus, Task

THRESHOLD = 0.3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each kind of model, made when it is first asked for."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def folder(kind):
        if kind not in made:
            made[kind] = save_detector(kind, root)
        return made[kind]

    return folder


def _theirs(folder):
    import transformers

    model = transformers.AutoModelForObjectDetection.from_pretrained(folder).eval()
    return transformers.AutoImageProcessor.from_pretrained(folder), model


@torch.inference_mode()
def _their_boxes(theirs, frame, threshold=THRESHOLD, size=None):
    processor, model = theirs
    inputs = dict(picture_inputs(processor, frame))
    if "pixel_mask" not in inspect.signature(model.forward).parameters:
        inputs.pop("pixel_mask", None)
    result = processor.post_process_object_detection(
        model(**inputs), threshold=threshold, target_sizes=[size or size_of(frame)]
    )[0]
    return expected_boxes(result, [CLASSES[int(n)] for n in result["labels"]], frame)


@pytest.mark.parametrize("kind", KINDS)
def test_the_boxes_are_those_of_transformers(kind, folders, engine_of, odd_pictures):
    folder = folders(kind)
    theirs = _theirs(folder)
    engine = engine_of(folder)
    outcomes = engine.detect(odd_pictures, threshold=THRESHOLD, model=kind)
    compared = 0
    for frame, outcome in zip(odd_pictures, outcomes, strict=True):
        assert outcome.status is not OutcomeStatus.FAILED, outcome.error
        try:
            expected = _their_boxes(theirs, frame)
        except ValueError:  # their processor makes the line 0 pixels high
            assert kind == "yolos"
            assert frame.size == (200, 1)
            continue
        assert_agree(outcome, expected)
        compared += len(expected)
    assert compared


@pytest.mark.parametrize("kind", ["detr", "deformable_detr", "rt_detr_v2"])
def test_one_by_one_and_together_are_the_same(kind, folders, engine_of, odd_pictures):
    """Pictures of other shapes in the batch never change a picture's boxes by their padding."""
    engine = engine_of(folders(kind))
    frames = [*odd_pictures, *odd_pictures[:2]]
    together = engine.detect(frames, threshold=THRESHOLD, model=kind)
    for frame, outcome in zip(frames, together, strict=True):
        alone = engine.detect([frame], threshold=THRESHOLD, model=kind)[0]
        assert_agree(alone, outcome.boxes)


def test_inputs_made_while_decoding_give_the_same_boxes(folders, engine_of, odd_pictures):
    family = engine_of(folders("rt_detr_v2")).family("rt_detr_v2")
    made = family.image_input(Task.DETECT)
    shipped = [made.frame(frame) for frame in odd_pictures]
    assert {frame.pixels.shape for frame in shipped} == {(64, 64, 3)}
    assert [frame.size for frame in shipped] == [frame.size for frame in odd_pictures]
    plain = family.detect(odd_pictures, None, threshold=THRESHOLD)
    for one, other in zip(plain, family.detect(shipped, None, threshold=THRESHOLD), strict=True):
        assert_agree(other, one.boxes)
    # What keeps the aspect, or resizes numbers that are no bytes, is made from the picture.
    for kind in ("detr", "rf_detr"):
        assert engine_of(folders(kind)).family(kind).image_input(Task.DETECT) is None


@pytest.mark.parametrize("kind", ["detr", "rt_detr_v2"])
def test_sizes_are_height_then_width(kind, folders, engine_of, odd_pictures):
    wide = odd_pictures[0]
    [outcome] = engine_of(folders(kind)).detect([wide], threshold=THRESHOLD, model=kind)
    swapped = _their_boxes(_theirs(folders(kind)), wide, size=wide.size)
    with pytest.raises(AssertionError):
        assert_agree(outcome, swapped)


def test_detr_keeps_the_aspect_and_rt_detr_does_not(folders, engine_of, odd_pictures):
    wide = odd_pictures[0]
    shapes = {}
    for kind in ("detr", "rt_detr_v2"):
        family = engine_of(folders(kind)).family(kind)
        shapes[kind] = family._prepare(wide).shape[-2:]
        inputs = family._prepare(wide).inputs
        assert ("pixel_mask" in inputs) == (kind == "detr")
    assert shapes == {"detr": (96, 224), "rt_detr_v2": (64, 64)}


def test_a_rotated_photo_is_seen_upright(folders, engine_of, odd_pictures):
    rotated = odd_pictures[2]
    turned = Frame(np.ascontiguousarray(np.rot90(rotated.pixels)))
    engine = engine_of(folders("detr"))
    upright, on_its_side = engine.detect([rotated, turned], threshold=0.0, model="detr")
    assert rotated.size == (64, 120)
    assert all(box.x2 <= 64 and box.y2 <= 120 for box in upright.boxes)
    assert max(box.x2 for box in on_its_side.boxes) > 64


@pytest.mark.parametrize("kind", ["detr", "deformable_detr", "yolos", "rt_detr_v2"])
@pytest.mark.parametrize("shape", [(1, 20000, 3), (20000, 1, 3)])
def test_a_strip_is_looked_at(kind, shape, folders, engine_of):
    """The processors that keep the aspect refuse it: it would be 0 pixels thin."""
    strip = Frame(np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8))
    [outcome] = engine_of(folders(kind)).detect([strip], threshold=0.0, model=kind)
    assert outcome.status is OutcomeStatus.OK, outcome.error
    height, width = shape[:2]
    assert all(0 <= b.x1 < b.x2 <= width and 0 <= b.y1 < b.y2 <= height for b in outcome.boxes)


@pytest.mark.parametrize("kind", ["detr", "rt_detr_v2"])
def test_labels_select_among_the_own_classes(kind, folders, engine_of, odd_pictures):
    engine, wide = engine_of(folders(kind)), odd_pictures[0]
    labels = [Label("DOG"), Label("Remote control"), Label("pet", prompts=("cat",))]
    [every] = engine.detect([wide], threshold=0.0, model=kind)
    [some] = engine.detect([wide], labels[:2], threshold=0.0, model=kind)
    [renamed] = engine.detect([wide], labels, threshold=0.0, model=kind)
    names = {"dog": "DOG", "remote_control": "Remote control", "cat": "pet"}
    assert {box.label for box in some.boxes} <= {"DOG", "Remote control"}
    assert [(names[b.label], b.score) for b in every.boxes] == [
        (b.label, b.score) for b in renamed.boxes
    ]


def test_a_class_that_the_model_lacks_is_named_with_the_close_ones(
    folders, engine_of, odd_pictures
):
    with pytest.raises(UsageError, match="no class 'remote controls' among its 3") as error:
        engine_of(folders("detr")).detect(
            [odd_pictures[0]], [Label("cat"), Label("remote controls")], model="detr"
        )
    assert "remote_control" in error.value.remedy
    assert error.value.field == "labels"


@pytest.mark.parametrize("name", ["猫", "a" * 500, "cat.", "unlabelled; DROP TABLE"])
def test_odd_labels_are_refused_with_some_of_the_classes(name):
    with pytest.raises(UsageError) as error:
        own_classes([Label(name)], CLASSES, "m")
    assert "cat" in error.value.remedy


def test_a_chosen_class_is_not_crowded_out(folders, engine_of, odd_pictures):
    """The best pairs are chosen among the wanted classes, not among all and then filtered."""
    engine, wide = engine_of(folders("rt_detr_v2")), odd_pictures[0]
    [every] = engine.detect([wide], threshold=0.0, model="rt_detr_v2")
    rare = min(CLASSES.values(), key=lambda name: sum(b.label == name for b in every.boxes))
    [alone] = engine.detect([wide], [Label(rare)], threshold=0.0, model="rt_detr_v2")
    assert len(alone.boxes) > sum(box.label == rare for box in every.boxes)


def test_a_focal_family_trained_with_softmax_is_read_so(tmp_path, engine_of, odd_pictures):
    folder = save_detector("rt_detr_v2", tmp_path, use_focal_loss=False)
    processor, model = _theirs(folder)
    wide = odd_pictures[0]
    with torch.inference_mode():
        logits = model(**picture_inputs(processor, wide)).logits[0]
    scores, classes = logits.softmax(-1)[:, :-1].max(-1)
    [outcome] = engine_of(folder).detect([wide], threshold=0.0, model="rt_detr_v2")
    said = sorted((box.score, box.label) for box in outcome.boxes)
    expected = sorted((float(s), CLASSES[int(n)]) for s, n in zip(scores, classes, strict=True))
    assert [label for _, label in said] == [label for _, label in expected]
    np.testing.assert_allclose([s for s, _ in said], [s for s, _ in expected], atol=1e-4)


def test_the_default_threshold_is_that_of_transformers(folders, engine_of, odd_pictures):
    engine = engine_of(folders("rt_detr_v2"))
    [outcome] = engine.detect([odd_pictures[0]], model="rt_detr_v2")
    assert outcome.provenance["threshold"] == 0.5
    [none] = engine.detect([odd_pictures[0]], threshold=0.999, model="rt_detr_v2")
    assert none.status is OutcomeStatus.EMPTY


@pytest.mark.parametrize(("kind", "side"), [("detr", 240), ("rt_detr_v2", 128)])
def test_pictures_are_decoded_no_larger_than_needed(kind, side, folders, engine_of):
    family = engine_of(folders(kind)).family(kind)
    assert family.decode_side(Task.DETECT) == side


@pytest.mark.parametrize("kind", ["detr", "rt_detr_v2", "d_fine", "rf_detr", "yolos"])
def test_half_precision_keeps_scores_close(kind, folders, engine_of, odd_pictures):
    engine = engine_of(folders(kind))
    plain = engine.family(kind)
    half = type(plain)(plain.pack, Place(engine, BFLOAT16))
    one, other = (f.detect(odd_pictures[:1], None, threshold=0.0)[0] for f in (plain, half))
    assert list(half._model.parameters())[-1].dtype is torch.float32
    assert any(weight.dtype is torch.bfloat16 for weight in half._model.parameters())
    assert other.status is OutcomeStatus.OK
    assert one.boxes[0].score == pytest.approx(other.boxes[0].score, abs=0.1)


def test_the_layout_of_older_repositories_is_read_without_a_network(
    tmp_path, engine_of, odd_pictures, monkeypatch
):
    """A timm backbone named in the config, to be made with pretrained weights as it says there."""
    import transformers

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    old = {"use_timm_backbone": True, "backbone": "test_resnet", "use_pretrained_backbone": True}
    folder = tmp_path / "old"
    config = transformers.DetrConfig(**SMALL, **NAMES, **old)
    lively(transformers.DetrForObjectDetection(config)).save_pretrained(folder)
    size = {"shortest_edge": 96, "longest_edge": 240}
    transformers.DetrImageProcessor(size=size).save_pretrained(folder)
    values = json.loads((folder / "config.json").read_text())
    del values["backbone_config"]
    (folder / "config.json").write_text(json.dumps({**values, **old}))
    theirs = _theirs(folder)
    [outcome] = engine_of(folder).detect(odd_pictures[:1], threshold=THRESHOLD, model="old")
    assert outcome.boxes
    assert_agree(outcome, _their_boxes(theirs, odd_pictures[0]))
