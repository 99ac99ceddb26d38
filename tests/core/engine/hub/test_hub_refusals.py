"""What is refused of a repository: wrong hashes, sizes that lie, names that lead out, pickles."""

from __future__ import annotations

import json
import pickle

import pytest
from hub_server import REPO, WEIGHTS, Fault, left_over

from vlmtool_core.engine import ModelStore
from vlmtool_core.errors import (
    MissingPackError,
    PackDownloadError,
    PackIntegrityError,
    StorageError,
    UsageError,
)


def test_a_wrong_hash_is_named_and_nothing_is_installed(server, repo, pull, root):
    changed = bytearray(repo.files[WEIGHTS])
    changed[-1] ^= 1
    server.fail(WEIGHTS, Fault(body=bytes(changed)))
    with pytest.raises(PackIntegrityError, match=r"model\.safetensors of acme/Tiny-ViT"):
        pull()
    assert ModelStore(root).installed() == []
    assert pull().id == "tiny-vit"


def test_a_small_file_is_checked_too(server, repo, pull):
    server.fail("config.json", Fault(body=repo.files["config.json"].replace(b"cat", b"cow")))
    with pytest.raises(PackIntegrityError, match=r"config\.json"):
        pull()


def test_a_truncated_file_is_never_taken(server, repo, pull, root):
    server.fail(WEIGHTS, *[Fault(body=repo.files[WEIGHTS][:-9])] * 20)
    with pytest.raises(PackDownloadError):
        pull()
    assert ModelStore(root).installed() == []


def test_a_file_larger_than_announced_is_cut_off(server, repo, pull):
    server.fail(WEIGHTS, Fault(body=repo.files[WEIGHTS] + b"\0" * 300_000))
    with pytest.raises(PackIntegrityError, match="larger than the hub states"):
        pull()


def test_a_huge_size_is_refused_before_anything_is_fetched(server, repo, pull):
    repo.lies[WEIGHTS] = {"size": 10**18}
    with pytest.raises(StorageError, match="are needed"):
        pull()
    assert server.asked(WEIGHTS) == []
    repo.lies = {"config.json": {"size": 10**12}}
    with pytest.raises(PackIntegrityError, match="no model needs"):
        pull()


@pytest.mark.parametrize(
    "name",
    ["../x.json", "a/../../x.json", "/etc/x.json", "a\\..\\x.json", "C:x.json", "a//b.json",
     "x\n.json", "x" * 300 + ".json"],
)  # fmt: skip
def test_file_names_that_lead_out_are_refused(repo, pull, root, name):
    repo.files[name] = b"{}"
    with pytest.raises(PackIntegrityError, match="file name"):
        pull()
    assert left_over(root) in ([], ["tiny-vit"])


def test_odd_names_of_files_that_nobody_needs(repo, pull):
    for name in ("pictures/a:b?.png", "dir./x.json", "notes*.pdf"):
        repo.files[name] = b"x"
    assert pull().id == "tiny-vit"


def test_names_that_differ_in_case_only(repo, pull):
    repo.files["Config.json"] = b"{}"
    with pytest.raises(PackIntegrityError, match="twice"):
        pull()


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b"{}", {"sha": "main", "siblings": []}, {"sha": "a" * 40, "siblings": [{}]},
     {"sha": "a" * 40, "siblings": [{"rfilename": "config.json", "size": -1, "blobId": "a" * 40}]},
     {"sha": "a" * 40, "siblings": [{"rfilename": "config.json", "size": 1, "blobId": "no"}]},
     {"sha": "../..", "siblings": []}, b"[" * 100_000],
)  # fmt: skip
def test_something_else_than_a_hub(repo, pull, answer):
    repo.answer = answer
    with pytest.raises(PackIntegrityError, match="does not answer as a hub") as caught:
        pull()
    assert "HF_ENDPOINT" in caught.value.remedy


def test_a_repository_of_pickles_is_refused_unread(server, repo, pull):
    data = repo.files.pop(WEIGHTS)
    repo.files["pytorch_model.bin"] = pickle.dumps(data)
    with pytest.raises(UsageError, match="pickles") as caught:
        pull()
    assert "safetensors" in caught.value.remedy
    assert server.asked("/resolve/") == []


def test_a_pickle_called_safetensors_is_refused(repo, pull, root):
    repo.files[WEIGHTS] = pickle.dumps({"weights": [0.0] * 2000})
    with pytest.raises(UsageError, match="a pickle under another name"):
        pull()
    assert ModelStore(root).installed() == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mystery", "architectures": ["MysteryModel"]}, "no family serves"),
        (
            {"model_type": "mystery", "architectures": ["M"], "auto_map": {"AutoModel": "m.M"}},
            "code of its own",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_its_weights_come(
    server, repo, pull, config, message
):
    repo.files["config.json"] = json.dumps(config).encode()
    with pytest.raises(UsageError, match=message):
        pull()
    assert server.asked(WEIGHTS) == []


def test_no_config_and_a_missing_shard(server, repo, pull):
    repo.files["model.safetensors.index.json"] = json.dumps(
        {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    ).encode()
    repo.files["model-1.safetensors"] = repo.files.pop(WEIGHTS)
    with pytest.raises(UsageError, match=r"model-2\.safetensors is missing"):
        pull()
    del repo.files["config.json"]
    with pytest.raises(UsageError, match=r"no config\.json"):
        pull()


def test_names_are_not_taken_from_others(repo, server, pull, root):
    with pytest.raises(UsageError, match="belongs to a pack of the catalogue") as caught:
        pull(taken=("tiny-vit",))
    assert "--id" in caught.value.remedy
    pull()
    server.repos["other/Tiny-ViT"] = repo
    with pytest.raises(UsageError, match="belongs to the pack from hub acme/Tiny-ViT"):
        pull("other/Tiny-ViT")
    assert pull("other/Tiny-ViT", pack_id="theirs").id == "theirs"
    with pytest.raises(MissingPackError):
        ModelStore(root).pack("other")


def test_redirects_without_end_and_to_odd_places(server, repo, pull):
    server.fail("/api/", *[Fault(302, {"Location": f"/api/models/{REPO}/revision/main"})] * 20)
    with pytest.raises(PackDownloadError, match="without end"):
        pull()
    server.faults.clear()
    server.fail("/api/", Fault(302, {"Location": "file:///etc/passwd"}))
    with pytest.raises(PackDownloadError, match="unprotected"):
        pull()
