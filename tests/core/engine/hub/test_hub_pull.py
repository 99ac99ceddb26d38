"""What a pull from a hub brings, over real HTTP on loopback."""

from __future__ import annotations

import hashlib

import numpy as np
from hub_server import REPO, WEIGHTS, Fault, left_over

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.jobs import Progress
from vlmtool_core.records import Frame, Task


def test_a_repository_becomes_a_pack_that_answers(server, repo, root, model_files):
    server.redirect = True
    seen: list[Progress] = []
    store = ModelStore(root)
    (pack,) = store.pull([REPO], seen.append)
    assert (pack.id, pack.revision, pack.version) == ("tiny-vit", repo.commit, repo.commit[:12])
    assert pack.source == f"hub {REPO}@{repo.commit}"
    assert (pack.licence, pack.licence_files) == ("apache-2.0", ("LICENSE",))
    assert pack.licence_accepted_at == ""
    assert pack.tasks == (Task.CLASSIFY, Task.EMBED)
    assert pack.memory_bytes > len(model_files[WEIGHTS])
    assert {f.name: f.sha256 for f in pack.files} == {
        name: hashlib.sha256(data).hexdigest() for name, data in model_files.items()
    }
    assert store.verify("tiny-vit") == pack == store.pack("tiny-vit")
    assert left_over(root) == ["tiny-vit"]
    assert seen[-1].done == seen[-1].total
    assert any("tiny-vit (apache-2.0): downloading" in progress.message for progress in seen)
    frame = Frame(np.zeros((20, 30, 3), np.uint8))
    assert Engine(store, device="cpu").classify([frame], model="tiny-vit")[0].scores


def test_only_what_is_needed_is_asked_for(server, repo, pull):
    for name in (
        "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "modeling_vit.py", "training.pt",
        ".gitattributes", "model.fp16.safetensors", "flax_model.msgpack", "sample.jpg",
    ):  # fmt: skip
        repo.files[name] = b"x" * 2000
    names = {file.name for file in pull().files}
    assert names == {"LICENSE", "README.md", "config.json", WEIGHTS, "preprocessor_config.json"}
    asked = {request.path.rpartition("/")[2] for request in server.asked("/resolve/")}
    assert asked == names


def test_the_same_commit_again_asks_nobody_for_files(server, repo, pull):
    first = pull()
    before = len(server.asked("/resolve/"))
    assert pull() == first
    assert len(server.asked("/resolve/")) == before
    everything = len(server.requests)
    assert pull(f"{REPO}@{repo.commit}") == first
    assert len(server.requests) == everything


def test_a_new_commit_comes_beside_the_old_one_and_is_used(repo, pull, root):
    old = pull()
    repo.commit = "00" + "f" * 38
    repo.files["README.md"] = b"---\nlicense: mit\n---\nNewer."
    new = pull(f"https://huggingface.co/{REPO}/tree/v1")
    assert new.version != old.version
    store = ModelStore(root)
    assert store.pack("tiny-vit") == new
    assert store.pack("tiny-vit", old.version) == old


def test_a_broken_pack_is_pulled_again(pull, repo):
    pack = pull()
    (pack.path / WEIGHTS).write_bytes(b"broken")
    assert pull().files == pack.files
    assert (pack.path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_shards_come_with_the_index_that_names_them(server, pull, repo, tmp_path, model_files):
    from transformers import ViTForImageClassification

    for name, data in model_files.items():
        (tmp_path / name).write_bytes(data)
    out = tmp_path / "shards"
    ViTForImageClassification.from_pretrained(tmp_path).save_pretrained(out, max_shard_size="60KB")
    del repo.files[WEIGHTS]
    repo.files |= {path.name: path.read_bytes() for path in out.iterdir()}
    shards = [name for name in repo.files if name.startswith("model-")]
    assert len(shards) > 2
    server.fail("model-", *[Fault(pause_s=0.005)] * len(shards))
    assert {file.name for file in pull().files} >= set(shards)
    assert server.most_busy >= 3  # several at a time
