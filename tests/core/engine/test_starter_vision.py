"""The starter's classify and embed on real photographs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vlmtool_core.engine import Engine, ModelStore, ProbeHead
from vlmtool_core.engine.families.timm_classifier import imagenet_classes
from vlmtool_core.engine.texts.text_space import label_texts
from vlmtool_core.errors import MissingPackError, PackIntegrityError, TaskNotServedError, UsageError
from vlmtool_core.records import RUN_TASKS, Frame, Label, OutcomeStatus, Task

pytestmark = pytest.mark.model

# What each photograph shows, for zero-shot choice among all of them.
SHOWN = {
    "coffee": "cup of coffee", "chelsea": "cat", "rocket": "rocket", "camera": "photographer",
    "page": "page of text", "text": "handwriting", "clock": "clock",
    "stereo_motorcycle": "motorcycle", "china": "temple", "flower": "flower",
}  # fmt: skip


def load(photo, name):
    if name != "stereo_motorcycle":
        return photo(name)
    import skimage.data

    return Frame(np.ascontiguousarray(skimage.data.stereo_motorcycle()[0]))


def test_own_classes_have_readable_unique_names(engine, photo):
    names = [name for name, _ in imagenet_classes()]
    assert len(set(names)) == 1000
    outcomes = engine.classify([photo("coffee"), photo("chelsea")])
    assert outcomes[0].scores[0].label == "espresso"
    assert len(outcomes[0].scores) == 5
    assert "cat" in outcomes[1].scores[0].label.lower() or outcomes[1].scores[0].label == "tabby"
    assert outcomes[0].provenance["input"] == [260, 260]


def test_zero_shot_is_far_above_chance(engine, photo):
    labels = [Label(name) for name in SHOWN.values()]
    outcomes = engine.classify([load(photo, name) for name in SHOWN], labels)
    first = [o.scores[0].label == label for o, label in zip(outcomes, SHOWN.values(), strict=True)]
    three = [
        label in [score.label for score in o.scores[:3]]
        for o, label in zip(outcomes, SHOWN.values(), strict=True)
    ]
    assert sum(first) >= 6  # chance is 1 of 10
    assert sum(three) >= 8
    for outcome in outcomes:
        assert sum(score.score for score in outcome.scores) == pytest.approx(1, abs=1e-4)


def test_labels_on_their_own(engine, photo):
    labels = [Label("cat"), Label("animal"), Label("truck"), Label("newspaper")]
    outcome = engine.classify([photo("chelsea")], labels, exclusive=False)[0]
    scores = {score.label: score.score for score in outcome.scores}
    assert scores["cat"] > 0.9
    assert scores["truck"] < 0.3
    assert scores["newspaper"] < 0.3
    kept = engine.classify([photo("chelsea")], labels, exclusive=False, threshold=0.9)[0]
    assert [score.label for score in kept.scores] == ["cat"]
    none = engine.classify([photo("chelsea")], labels[2:], exclusive=False, threshold=0.9)[0]
    assert none.status is OutcomeStatus.EMPTY


def test_labels_at_the_edges(engine, photo):
    frame = photo("coffee")
    assert engine.classify([frame], [])[0].scores[0].label == "espresso"
    twice = engine.classify([frame], [Label("cup"), Label("dog"), Label("cup")])[0]
    assert sorted(score.label for score in twice.scores) == ["cup", "dog"]
    with pytest.raises(UsageError, match="empty"):
        engine.classify([frame], [Label("cup"), Label("  ")])
    with pytest.raises(UsageError, match="猫"):
        engine.classify([frame], [Label("cup"), Label("猫")])
    prompted = engine.classify([frame], [Label("猫", prompts=("cat",)), Label("杯", ("cup",))])[0]
    assert prompted.scores[0].label == "杯"
    long = Label("cup " * 500)
    assert len(engine.classify([frame], [long, Label("dog")])[0].scores) == 2
    many = engine.classify([frame], [Label(f"thing {n}") for n in range(300)])[0]
    assert len(many.scores) == 300


def test_prompts_and_definitions_count():
    label = Label("grade_3", prompts=("a large tumour",), definition="Cells that differ a lot.")
    texts = label_texts(label)
    assert "a photo of a grade 3" in texts
    assert "a kind of a large tumour" in texts
    assert "Cells that differ a lot." in texts


def test_a_batch_equals_its_frames_alone(engine, photo):
    frames = [photo("coffee"), photo("rocket"), photo("page")]
    together = engine.classify(frames, [Label("cup"), Label("rocket")])
    for frame, outcome in zip(frames, together, strict=True):
        alone = engine.classify([frame], [Label("cup"), Label("rocket")])[0]
        for a, b in zip(alone.scores, outcome.scores, strict=True):
            assert (a.label, pytest.approx(a.score, abs=1e-4)) == (b.label, b.score)


def test_a_bad_frame_fails_alone(engine, photo):
    frames = [photo("coffee"), Frame(np.zeros((4, 4), np.uint8)), photo("chelsea")]
    outcomes = engine.classify(frames)
    assert [o.status for o in outcomes] == [
        OutcomeStatus.OK, OutcomeStatus.FAILED, OutcomeStatus.OK,
    ]  # fmt: skip
    assert "uint8" in outcomes[1].error.message
    assert engine.classify([]) == []


@pytest.mark.parametrize("shape", [(1, 300, 3), (300, 1, 3), (1, 1, 3), (7, 5, 3)])
def test_odd_shapes(engine, shape):
    outcome = engine.classify([Frame(np.full(shape, 128, np.uint8))])[0]
    assert outcome.status is OutcomeStatus.OK
    assert all(np.isfinite(score.score) for score in outcome.scores)


def test_embeddings(engine, photo):
    outcomes = engine.embed([photo("chelsea"), photo("coffee"), photo("cat")])
    rows = np.stack([outcome.embedding for outcome in outcomes])
    assert rows.shape == (3, engine.embedding_size())
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert rows[0] @ rows[2] > 0.99 > rows[0] @ rows[1]


def test_text_weights_already_know_the_labels(engine, photo):
    labels = [Label("cat"), Label("cup of coffee"), Label("motorcycle")]
    weights = engine.text_weights(labels)
    assert weights.shape == (3, engine.embedding_size())
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-5)
    frames = [load(photo, name) for name in ("chelsea", "coffee", "stereo_motorcycle")]
    rows = np.stack([outcome.embedding for outcome in engine.embed(frames)])
    assert (rows @ weights.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_head_speaks_in_place_of_the_labels(engine, photo, tmp_path):
    pack = engine.store.pack("starter-vision")
    labels = ("cat", "cup of coffee")
    weight = engine.text_weights([Label(name) for name in labels]) * 20
    head = ProbeHead(labels, weight, np.zeros(2, np.float32), 1.0, True, pack.id, pack.fingerprint)
    head.save(tmp_path)
    outcome = engine.classify([photo("chelsea")], head=ProbeHead.load(tmp_path))[0]
    assert outcome.scores[0].label == "cat"
    plain, trained = engine.identity(Task.EMBED), engine.identity(Task.CLASSIFY, head=head)
    assert plain.id == trained.id
    assert plain.fingerprint != trained.fingerprint
    other = dataclasses.replace(head, pack_fingerprint="0" * 64)
    with pytest.raises(UsageError, match="another model"):
        engine.classify([photo("chelsea")], head=other)


def test_identity_covers_all_parts(engine):
    prints = {task: engine.identity(task).fingerprint for task in RUN_TASKS}
    assert prints[Task.CLASSIFY] != prints[Task.EMBED]  # text pack takes part in one of them
    assert all(len(value) == 64 for value in prints.values())
    assert engine.identity(Task.READ).id == "rapidocr"
    with pytest.raises(TaskNotServedError):
        engine.identity(Task.CAPTION, "starter-vision")
    with pytest.raises(MissingPackError, match="no model was named to segment"):
        engine.identity(Task.SEGMENT)


def test_missing_and_damaged_packs(tmp_path, starter_store, photo):
    empty = Engine(ModelStore(tmp_path / "none"), device="cpu")
    for call in (empty.classify, empty.detect, empty.caption, empty.embed):
        with pytest.raises(MissingPackError) as caught:
            call([photo("coffee")])
        assert "vlmtool-cli models pull starter" in caught.value.remedy
    import shutil

    source = starter_store.pack("starter-vision").path
    target = tmp_path / "models" / "starter-vision" / source.name
    shutil.copytree(source, target)
    weights = target / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(PackIntegrityError, match="changed"):
        Engine(ModelStore(tmp_path / "models"), device="cpu").embed([photo("coffee")])


def test_unload_forgets_and_loads_again(starter_store, photo):
    engine = Engine(starter_store, device="cpu")
    before = engine.embed([photo("coffee")])[0].embedding
    engine.unload()
    np.testing.assert_array_equal(engine.embed([photo("coffee")])[0].embedding, before)


def test_the_device_is_checked(starter_store):
    with pytest.raises(UsageError, match="unknown device"):
        _ = Engine(starter_store, device="tpu").device


def test_text_embeddings_are_cached_on_disk(engine, home, photo):
    engine.classify([photo("coffee")], [Label("cup"), Label("a word nobody used before")])
    assert list((home / "cache" / "texts").glob("*.npy"))


def test_running_out_of_memory_is_told_apart(engine, photo, monkeypatch):
    import torch

    from vlmtool_core.errors import EngineMemoryError

    family = engine.family("starter-vision")

    def exhausted(*_args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(family._model, "forward_features", exhausted)
    with pytest.raises(EngineMemoryError):
        engine.embed([photo("coffee"), photo("coffee")])
    assert engine.embed([photo("coffee")])[0].error.code == "engine-memory"
