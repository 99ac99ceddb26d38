"""Local folders as packs: tiny random models make the whole way; dangerous ones are refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.engine.packs.pack import write_pack
from vlmtool_core.errors import PackIntegrityError, TaskNotServedError, UsageError
from vlmtool_core.records import Frame, Label, OutcomeStatus, Task


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hub") / "Tiny ViT"
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16, id2label={0: "cat", 1: "dog", 2: "bird"},
        label2id={"cat": 0, "dog": 1, "bird": 2},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nTiny.")
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hub") / "clip"
    small = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16,
    }  # fmt: skip
    vocabulary = {w: n for n, w in enumerate(["<pad>", "<end>", "a", "photo", "of", "cat", "dog"])}
    config = CLIPConfig(
        text_config={**small, "vocab_size": 16, "max_position_embeddings": 16, "eos_token_id": 1},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<end>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [Frame(rng.integers(0, 255, (40, 50 + n, 3), np.uint8)) for n in range(count)]


def test_a_classifier_makes_the_whole_way(store, classifier_folder):
    pack = store.add_folder(classifier_folder)
    assert (pack.id, pack.licence, pack.location) == ("tiny-vit", "mit", classifier_folder)
    engine = Engine(store, device="cpu")
    outcomes = engine.classify(frames(3), model="tiny-vit")
    assert [outcome.status for outcome in outcomes] == [OutcomeStatus.OK] * 3
    assert {score.label for score in outcomes[0].scores} == {"cat", "dog", "bird"}
    assert sum(score.score for score in outcomes[0].scores) == pytest.approx(1)
    embedded = engine.embed(frames(2), model="tiny-vit")
    assert embedded[0].embedding.shape == (engine.embedding_size("tiny-vit"),)
    assert np.linalg.norm(embedded[1].embedding) == pytest.approx(1, abs=1e-5)
    subset = engine.classify(frames(1), [Label("dog"), Label("cat")], model="tiny-vit")[0]
    assert {score.label for score in subset.scores} == {"cat", "dog"}
    with pytest.raises(UsageError, match="its own 3 classes"):
        engine.classify(frames(1), [Label("zebra")], model="tiny-vit")
    with pytest.raises(TaskNotServedError):
        engine.caption(frames(1), model="tiny-vit")
    assert engine.identity(Task.CLASSIFY, "tiny-vit").fingerprint == pack.fingerprint


def test_a_contrastive_model_takes_any_labels(store, clip_folder):
    store.add_folder(clip_folder, "tiny-clip")
    engine = Engine(store, device="cpu")
    labels = [Label("cat"), Label("dog"), Label("猫")]
    one, two = engine.classify(frames(2), labels, model="tiny-clip")
    assert sum(score.score for score in one.scores) == pytest.approx(1, abs=1e-5)
    assert len(two.scores) == 3
    alone = engine.classify(frames(1), labels, exclusive=False, model="tiny-clip")[0]
    assert all(0 <= score.score <= 1 for score in alone.scores)
    weights = engine.text_weights(labels, model="tiny-clip")
    assert weights.shape == (3, engine.embedding_size("tiny-clip"))
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-5)
    with pytest.raises(UsageError, match="no classes of its own"):
        engine.classify(frames(1), model="tiny-clip")


def test_a_copy_outlives_its_source(store, classifier_folder, tmp_path):
    import shutil

    source = tmp_path / "source"
    shutil.copytree(classifier_folder, source)
    pack = store.add_folder(source, "copied", copy=True)
    shutil.rmtree(source)
    assert pack.location == pack.path
    assert store.verify("copied").files == pack.files


def test_a_change_in_place_is_seen_and_removal_keeps_the_users_files(
    store, classifier_folder, tmp_path
):
    import shutil

    source = tmp_path / "source"
    shutil.copytree(classifier_folder, source)
    store.add_folder(source, "mine")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"x": 1}))
    with pytest.raises(PackIntegrityError, match="changed"):
        Engine(store, device="cpu").classify(frames(1), model="mine")
    store.remove("mine")
    assert (source / "model.safetensors").exists()


def make_folder(tmp_path: Path, config: object, *files: str) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)
    for name in files:
        (folder / name).write_bytes(b"x")
    return folder


VIT = {"architectures": ["ViTForImageClassification"]}
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        (VIT, ["pytorch_model.bin"], "pickles"),
        (VIT, [], "no weights"),
        (VIT | {"auto_map": {"AutoModel": "x.Y"}}, ["model.safetensors"], "code of its own"),
        ({"architectures": ["MysteryModel"]}, ["model.safetensors"], "MysteryModel"),
        ({}, ["model.safetensors"], "without a name"),
        ("not json", ["model.safetensors"], "cannot be read"),
        ("[]", ["model.safetensors"], "no JSON object"),
        ('{"model_type": NaN}', ["model.safetensors"], "NaN is no number"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, ["model.safetensors"], "nested too deeply"),
        ('{"a": "' + "x" * (17 << 20) + '"}', ["model.safetensors"], "larger than 16 MB"),
        (VIT, ["model.safetensors"], "no safetensors file but damaged"),
        (VIT, ["model.safetensors", "adapter_config.json"], "an adapter"),
        (
            VIT | {"quantization_config": {"quant_method": "bitsandbytes"}},
            ["model.safetensors"],
            r"quantised \(bitsandbytes\)",
        ),
    ],
)
def test_what_is_refused(store, tmp_path, config, files, message):
    with pytest.raises(UsageError, match=message):
        store.add_folder(make_folder(tmp_path, config, *files))
    assert store.installed() == []


def test_remote_code_in_another_file_is_refused(store, tmp_path):
    folder = make_folder(tmp_path, VIT, "model.safetensors")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": "x.Y"}}')
    with pytest.raises(UsageError, match="code of its own"):
        store.add_folder(folder)


def test_a_folder_without_a_model(store, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        store.add_folder(tmp_path, "empty")
    with pytest.raises(UsageError, match="no valid pack id"):
        store.add_folder(tmp_path, "../up")


def test_memory_is_estimated_from_the_tensors(store, classifier_folder):
    import torch
    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(classifier_folder, dtype=torch.float32)
    numbers = sum(tensor.numel() for tensor in model.parameters())
    pack = store.add_folder(classifier_folder, "sized")
    assert pack.memory_bytes == pytest.approx(numbers * 4 * 1.2, rel=0.01)
    assert store.pack("sized") == pack


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.mark, "ran")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_with_code_in_it_is_refused_and_never_runs(store, tmp_path, name, writer):
    mark = tmp_path / "ran"
    folder = make_folder(tmp_path, VIT)
    if writer == "pickle":
        (folder / name).write_bytes(pickle.dumps(Payload(mark)))
    else:
        torch.save({"weight": Payload(mark)}, folder / name)
    with pytest.raises(UsageError, match="pickle"):
        store.add_folder(folder)
    assert not mark.exists()
    assert store.installed() == []
    opened = shutil.copy(folder / name, tmp_path / "opened.pt")
    pickle.loads(opened.read_bytes()) if writer == "pickle" else torch.load(
        opened, weights_only=False
    )
    assert mark.read_text() == "ran"  # the payload is a real one


def sharded(classifier_folder: Path, folder: Path) -> Path:
    from transformers import ViTForImageClassification

    ViTForImageClassification.from_pretrained(classifier_folder).save_pretrained(
        folder, max_shard_size="5KB"
    )
    shutil.copy(classifier_folder / "preprocessor_config.json", folder)
    return folder


def test_shards_give_the_same_answers_and_each_is_checked(store, classifier_folder, tmp_path):
    folder = sharded(classifier_folder, tmp_path / "shards")
    pack = store.add_folder(folder, "shards")
    store.add_folder(classifier_folder, "whole")
    shards = [file.name for file in pack.files if file.name.endswith(".safetensors")]
    assert len(shards) > 1
    engine = Engine(store, device="cpu")
    one, two = (engine.classify(frames(1), model=model)[0] for model in ("whole", "shards"))
    assert one.scores == two.scores
    damaged = bytearray((folder / shards[0]).read_bytes())
    damaged[-1] ^= 1
    (folder / shards[0]).write_bytes(damaged)
    with pytest.raises(PackIntegrityError, match="has changed"):
        store.verify("shards")


def test_a_missing_shard_is_named(store, classifier_folder, tmp_path):
    folder = sharded(classifier_folder, tmp_path / "shards")
    lost = sorted(folder.glob("model-*.safetensors"))[0]
    lost.unlink()
    with pytest.raises(UsageError, match=lost.name) as caught:
        store.add_folder(folder)
    assert caught.value.path == str(folder / INDEX)
    assert "again" in caught.value.remedy


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "../outside.safetensors"}}, "refused"),
        ({"weight_map": {"a": "/etc/x.safetensors"}}, "refused"),
        ({"weight_map": {"a": "model.bin"}}, "no safetensors file"),
        ({"weight_map": []}, "no list of shards"),
        ({}, "no list of shards"),
    ],
)
def test_an_index_that_leads_astray(store, tmp_path, index, message):
    folder = make_folder(tmp_path, VIT, "model-1.safetensors")
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises((UsageError, PackIntegrityError), match=message):
        store.add_folder(folder)


def test_shards_in_a_subfolder_are_copied_too(store, classifier_folder, tmp_path):
    folder = sharded(classifier_folder, tmp_path / "shards")
    index = json.loads((folder / INDEX).read_text())
    (folder / "parts").mkdir()
    for shard in set(index["weight_map"].values()):
        (folder / shard).rename(folder / "parts" / shard)
    index["weight_map"] = {key: f"parts/{name}" for key, name in index["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps(index))
    pack = store.add_folder(folder, "parts", copy=True)
    assert any(file.name.startswith("parts/model-") for file in pack.files)
    assert store.verify("parts") == pack
    assert Engine(store, device="cpu").classify(frames(1), model="parts")[0].scores


def test_what_training_left_beside_a_model_is_no_part_of_it(store, classifier_folder, tmp_path):
    folder = tmp_path / "trained"
    shutil.copytree(classifier_folder, folder)
    (folder / "checkpoint-500").mkdir()
    for name in ("checkpoint-500/model.safetensors", "trainer_state.json", "optimizer.pt", "x.py"):
        (folder / name).write_bytes(b"x")
    names = {file.name for file in store.add_folder(folder, "trained").files}
    assert names == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}


def test_the_remote_code_of_a_model_that_transformers_serves_itself_is_never_run(
    store, classifier_folder, tmp_path
):
    folder = tmp_path / "native"
    shutil.copytree(classifier_folder, folder)
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w').write('ran')\nclass Evil: ...\n")
    for name, key in (
        ("config.json", "AutoModelForImageClassification"),
        ("preprocessor_config.json", "AutoImageProcessor"),
    ):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | {"auto_map": {key: "evil.Evil"}}))
    store.add_folder(folder, "native")
    assert Engine(store, device="cpu").classify(frames(1), model="native")[0].scores
    assert not mark.exists()


def test_a_pack_that_promises_a_task_its_family_does_not_serve(store, classifier_folder):
    pack = store.add_folder(classifier_folder, "boastful", copy=True)
    write_pack(dataclasses.replace(pack, tasks=(Task.DETECT,)), pack.path)
    engine = Engine(store, device="cpu")
    with pytest.raises(TaskNotServedError, match="does not serve detect"):
        engine.detect(frames(1), model="boastful")
    with pytest.raises(TaskNotServedError, match="serves detect, not classify"):
        engine.classify(frames(1), model="boastful")
