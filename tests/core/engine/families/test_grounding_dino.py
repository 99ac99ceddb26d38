"""Grounding DINO and MM-Grounding-DINO: transformers' boxes under the user's own labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreement import assert_agree, expected_boxes, lively, picture_inputs, size_of

from vlmtool_core.engine.families.parts.detection_base import Found
from vlmtool_core.engine.families.parts.grounding_text import (
    merge_passes,
    pack_captions,
    score_texts,
)
from vlmtool_core.engine.runtime.stopping import stoppable
from vlmtool_core.errors import CancelledError, UsageError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import Label, OutcomeStatus

WORDS = ("cat", "dog", "bird", "red", "remote", "control", "a", "two", "##s", "yes", "!")
LABELS = [Label("Cat"), Label("Red bird"), Label("remote_control"), Label("dogs")]
THRESHOLD = 0.3
CLS, SEP, STOP, ASK = 101, 102, 1012, 1029


def _tokenizer():
    """Ids of BERT for the marks between labels: the model's masks know them by number."""
    from transformers import BertTokenizer

    fixed = {"[PAD]": 0, "[UNK]": 100, "[CLS]": CLS, "[SEP]": SEP, "[MASK]": 103,
             ".": STOP, "?": ASK}  # fmt: skip
    vocabulary = dict(fixed)
    free = iter(sorted(set(range(1100)) - set(fixed.values())))
    for word in WORDS:
        vocabulary[word] = next(free)
    for number in free:
        vocabulary[f"[unused{number}]"] = number
    return BertTokenizer(vocab=vocabulary)


def _model(name, **options):
    import transformers

    swin = transformers.SwinConfig(
        embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4, image_size=64,
        out_indices=[2, 3],
    )  # fmt: skip
    bert = transformers.BertConfig(
        vocab_size=1100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    config = getattr(transformers, f"{name}Config")(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=4,
        decoder_attention_heads=4, num_queries=20, num_feature_levels=3, encoder_n_points=2,
        decoder_n_points=2, **{"max_text_len": 64, **options},
    )  # fmt: skip
    model = lively(getattr(transformers, f"{name}ForObjectDetection")(config))
    with torch.no_grad():  # scores that are neither 0 nor 1
        for embed in [*model.class_embed, model.model.encoder_output_class_embed]:
            if getattr(embed, "bias", None) is not None:
                embed.bias.fill_(-1.0)
    return model


def _save(name, folder, **options):
    import transformers

    _model(name, **options).save_pretrained(folder)
    pictures = transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 200}
    )
    transformers.GroundingDinoProcessor(pictures, _tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["GroundingDino", "MMGroundingDino"])
def folder(request, tmp_path_factory):
    return _save(request.param, tmp_path_factory.mktemp("models") / request.param.lower())


@pytest.fixture(scope="module")
def theirs(folder):
    import transformers

    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    return transformers.AutoProcessor.from_pretrained(folder), model.eval()


@torch.inference_mode()
def _their_boxes(theirs, frame, labels, threshold=THRESHOLD):
    """Their own model and post-processing, on the tokens that stand for a label only."""
    processor, model = theirs
    texts = [" ".join(label.name.lower().replace("_", " ").split()) for label in labels]
    inputs = picture_inputs(processor, frame, text=[texts])
    outputs = model(**inputs)
    marks = torch.isin(inputs["input_ids"][0], torch.tensor([CLS, SEP, STOP]))
    outputs.logits[..., : len(marks)][..., marks] = -torch.inf
    owners = torch.cumsum(marks.roll(1), 0)[~marks] - 1
    best = outputs.logits[0][:, : len(marks)][:, ~marks].argmax(1)
    result = processor.post_process_grounded_object_detection(
        outputs, threshold=threshold, text_threshold=threshold, target_sizes=[size_of(frame)]
    )[0]
    kept = outputs.logits[0].sigmoid().max(1).values > threshold
    names = [labels[int(owners[n]) - int(owners[0])].name for n in best[kept]]
    return expected_boxes(result, names, frame)


def test_the_boxes_are_those_of_transformers(folder, theirs, engine_of, odd_pictures):
    outcomes = engine_of(folder).detect(
        odd_pictures, LABELS, threshold=THRESHOLD, model=folder.name
    )
    *pictures, dot = odd_pictures
    for frame, outcome in zip(pictures, outcomes[:-1], strict=True):
        assert_agree(outcome, _their_boxes(theirs, frame, LABELS))
    # All places of one pixel are alike: which of them become queries is a matter of rounding.
    assert dot.size == (1, 1)
    assert outcomes[-1].status in {OutcomeStatus.OK, OutcomeStatus.EMPTY}
    assert all(0 <= b.x1 < b.x2 <= 1 and 0 <= b.y1 < b.y2 <= 1 for b in outcomes[-1].boxes)
    said = {box.label for outcome in outcomes for box in outcome.boxes}
    assert len(said) > 1
    assert said <= {label.name for label in LABELS}


def test_transformers_own_names_would_not_do(folder, theirs, odd_pictures):
    """What the trap is: names rebuilt from tokens are of no label, of several, or empty."""
    processor, model = theirs
    inputs = picture_inputs(processor, odd_pictures[0], text=[["cat", "red bird", "dogs"]])
    with torch.inference_mode():
        result = processor.post_process_grounded_object_detection(
            model(**inputs), threshold=0.1, text_threshold=0.3, target_sizes=[(60, 140)]
        )[0]
    assert not set(result["text_labels"]) <= {"cat", "red bird", "dogs"}


def test_one_by_one_and_together_are_the_same(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    options = {"threshold": THRESHOLD, "model": folder.name}
    frames = [*odd_pictures[:-1], odd_pictures[0]]
    for frame, outcome in zip(frames, engine.detect(frames, LABELS, **options), strict=True):
        assert_agree(engine.detect([frame], LABELS, **options)[0], outcome.boxes)


def test_the_caption_is_lower_case_and_ends_with_a_full_stop(folder, theirs, engine_of):
    family = engine_of(folder).family(folder.name)
    from vlmtool_core.engine.families.parts.detection_base import label_queries

    captions, cut = family._captions(label_queries(LABELS, "m", lower=True), [""] * 4)
    texts = [["cat", "red bird", "remote control", "dogs"]]
    expected = theirs[0](images=np.zeros((9, 9, 3), np.uint8), text=texts, return_tensors="pt")
    assert [list(caption.ids) for caption in captions] == expected["input_ids"].tolist()
    assert captions[0].ids[-2:] == (STOP, SEP)
    assert cut == []


def test_a_label_with_a_full_stop_stays_one_label(folder, engine_of, odd_pictures):
    """A mark inside a label would end it and open another one."""
    engine = engine_of(folder)
    options = {"threshold": 0.0, "model": folder.name}
    odd = [Label("cat. dog?"), Label("Red bird")]
    plain = [Label("cat dog"), Label("red bird")]
    [one] = engine.detect([odd_pictures[0]], odd, **options)
    [other] = engine.detect([odd_pictures[0]], plain, **options)
    names = {"cat dog": "cat. dog?", "red bird": "Red bird"}
    assert [b.label for b in one.boxes] == [names[b.label] for b in other.boxes]
    assert [b.score for b in one.boxes] == [b.score for b in other.boxes]


def test_a_label_speaks_through_its_best_prompt(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    options = {"threshold": 0.0, "model": folder.name}
    [apart] = engine.detect([odd_pictures[0]], [Label("cat"), Label("dogs")], **options)
    pet = Label("宠物", prompts=("cat", "dogs"))
    [joined] = engine.detect([odd_pictures[0]], [pet], **options)
    assert [box.score for box in joined.boxes] == [box.score for box in apart.boxes]
    assert {box.label for box in joined.boxes} == {"宠物"}


def test_many_labels_are_asked_for_in_several_passes(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    many = [Label(f"{a} {b} {c}") for a in WORDS[:6] for b in WORDS[:6] for c in WORDS[:5]]
    [outcome] = engine.detect([odd_pictures[0]], many, threshold=0.0, model=folder.name)
    assert outcome.provenance["passes"] == len(many) * 4 // 60
    assert outcome.provenance["suppression"] == 0.7
    assert 0 < len(outcome.boxes) <= 20
    first = engine.detect([odd_pictures[0]], many[:15], threshold=0.0, model=folder.name)[0]
    assert outcome.boxes[0].score >= first.boxes[0].score
    assert first.provenance["passes"] == 1


def test_several_passes_look_at_the_picture_once(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    family = engine.family(folder.name)
    parts = family._model.model
    looked, read = [], []
    parts.backbone.backbone.register_forward_hook(lambda *_: looked.append(1))
    parts.text_backbone.backbone.register_forward_hook(lambda *_: read.append(1))
    many = [Label(f"{a} {b} {c}") for a in WORDS[:4] for b in WORDS[:4] for c in WORDS[:4]]
    for _ in range(2):
        [outcome] = engine.detect([odd_pictures[0]], many, threshold=0.0, model=folder.name)
    assert outcome.provenance["passes"] > 3
    assert len(looked) == 2  # once for each request
    assert len(read) == outcome.provenance["passes"]  # once for each caption


def test_the_work_stops_between_passes(folder, engine_of, odd_pictures):
    cancel = CancelToken()
    family = engine_of(folder).family(folder.name)
    family._model.model.text_backbone.register_forward_hook(lambda *_: cancel.cancel())
    many = [Label(f"{a} {b} {c}") for a in WORDS[:4] for b in WORDS[:4] for c in WORDS[:4]]
    with stoppable(cancel), pytest.raises(CancelledError):
        family.detect(odd_pictures[:1], many, threshold=0.0)


@pytest.mark.parametrize(
    "labels",
    [
        [Label("cat"), Label("CAT"), Label("cat")],
        [Label(" ".join(["red"] * 500)), Label("dogs")],
        [Label("猫 cat [SEP] [MASK]")],
    ],
)
def test_odd_labels_keep_their_own_names(folder, engine_of, odd_pictures, labels):
    [outcome] = engine_of(folder).detect(
        [odd_pictures[0]], labels, threshold=0.0, model=folder.name
    )
    assert outcome.status is OutcomeStatus.OK
    assert {box.label for box in outcome.boxes} <= {label.name for label in labels}
    long = [label.name[:80] for label in labels if len(label.name) > 500]
    assert outcome.provenance["cut"] == long


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "no classes of its own"),
        ([], "no classes of its own"),
        ([Label("cat"), Label(" ")], "empty"),
        ([Label("cat"), Label("猫")], "understand the label '猫'"),
        ([Label("zzz qqq")], "understand the label 'zzz qqq'"),
        ([Label("...")], "understand the label"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(folder, engine_of, odd_pictures, labels, words):
    with pytest.raises(UsageError, match=words):
        engine_of(folder).detect([odd_pictures[0]], labels, model=folder.name)


def test_captions_hold_what_fits():
    captions, cut = pack_captions(
        [[1, 2], [3], [4, 5, 6, 7, 8, 9], [9]], begin=0, stop=10, end=11, most=8
    )
    assert [c.ids for c in captions] == [(0, 1, 2, 10, 3, 10, 11), (0, 4, 5, 6, 7, 8, 10, 11),
                                         (0, 9, 10, 11)]  # fmt: skip
    assert captions[0].owners == (-1, 0, 0, -1, 1, -1, -1)
    assert captions[2].owners == (-1, 3, -1, -1)
    assert cut == [2]


def test_a_text_scores_as_its_best_token_and_marks_count_for_nothing():
    [caption], _ = pack_captions([[1, 2], [3]], begin=0, stop=10, end=11, most=8)
    logits = torch.tensor([[[9.0, -1.0, 2.0, 9.0, 1.0, 9.0, 9.0, 9.0],
                            [9.0, -2.0, -3.0, 9.0, 0.5, 9.0, 9.0, 9.0]]])  # fmt: skip
    scores, texts = score_texts(logits, caption)
    assert texts.tolist() == [[0, 1]]
    np.testing.assert_allclose(scores, torch.tensor([[2.0, 0.5]]).sigmoid())


def test_a_thing_of_two_passes_keeps_its_best_label():
    box = [0.1, 0.1, 0.5, 0.5]
    near = [0.1, 0.1, 0.5, 0.52]
    first = Found(np.array([box, near], np.float32), np.array([0.6, 0.5], np.float32),
                  np.array([0, 0]))  # fmt: skip
    second = Found(np.array([near], np.float32), np.array([0.9], np.float32), np.array([1]))
    merged = merge_passes([first, second], 10, 0.7)
    assert merged.labels.tolist() == [1]
    alone = merge_passes([first], 10, 0.7)
    assert len(alone.scores) == 2  # one pass decides for itself
