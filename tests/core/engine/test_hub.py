"""Pulling from a hub over real HTTP on loopback: what is taken, what is refused, and every way in
which a network, a hub or a repository can go wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.engine.hub import Hub, Patience
from vlmtool_core.engine.hub_packs import HubWish, PullWatch, pull_from_hub
from vlmtool_core.engine.hub_reference import (
    Reference,
    endpoint_from_environment,
    parse_reference,
    token_from_environment,
)
from vlmtool_core.errors import (
    CancelledError,
    LicenceError,
    MissingPackError,
    PackAccessError,
    PackDownloadError,
    PackIntegrityError,
    StorageError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.records import Frame, Task

sys.path.insert(0, str(Path(__file__).parent))

from hub_server import Fault, HubServer, Repo, serving

REPO = "acme/Tiny-ViT"
WEIGHTS = "model.safetensors"
HASTE = Patience(silence=2.0, pause=0.005, longest_pause=3.0, tries=4)


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny classifier whose weights are large enough to be cut in many places."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("made") / "vit"
    config = ViTConfig(
        hidden_size=96, num_hidden_layers=1, num_attention_heads=2, intermediate_size=384,
        image_size=32, patch_size=16, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["README.md"] = b"---\nlicense: apache-2.0\n---\nTiny."
    files["LICENSE"] = b"Terms."
    return files


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/nowhere")
    with serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def repo(server: HubServer, model_files: dict[str, bytes]) -> Repo:
    server.repos[REPO] = Repo(dict(model_files))
    return server.repos[REPO]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


class Puller:
    """Pulls with little patience, so that faults do not make the tests slow."""

    def __init__(self, server: HubServer, root: Path) -> None:
        self.server = server
        self.root = root
        self.expected = 0
        self.reported = 0

    def __call__(
        self, text: str = REPO, *, token: str = "", accepted: bool = False,
        pack_id: str | None = None, cancel: CancelToken | None = None,
        patience: Patience = HASTE, taken: tuple[str, ...] = (),
    ):  # fmt: skip
        def expect(count: int) -> None:
            self.expected += count

        def report(count: int, _message: str) -> None:
            self.reported = count

        self.expected = 0
        wish = HubWish(parse_reference(text, self.server.url), pack_id, accepted)
        hub = Hub(self.server.url, token, patience=patience)
        return pull_from_hub(
            self.root, wish, taken, PullWatch(expect, report), cancel or CancelToken(), hub=hub
        )


@pytest.fixture
def pull(server: HubServer, repo: Repo, root: Path) -> Puller:
    return Puller(server, root)


def left_over(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


# What a pull brings -------------------------------------------------------------------------


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


def test_shards_come_with_the_index_that_names_them(pull, repo, tmp_path, model_files):
    from transformers import ViTForImageClassification

    for name, data in model_files.items():
        (tmp_path / name).write_bytes(data)
    out = tmp_path / "shards"
    ViTForImageClassification.from_pretrained(tmp_path).save_pretrained(out, max_shard_size="60KB")
    del repo.files[WEIGHTS]
    repo.files |= {path.name: path.read_bytes() for path in out.iterdir()}
    shards = [name for name in repo.files if name.startswith("model-")]
    assert len(shards) > 2
    assert {file.name for file in pull().files} >= set(shards)


# Interruptions ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_cuts_at_any_byte_are_gone_on_from(server, repo, pull, seed):
    size = len(repo.files[WEIGHTS])
    cuts = [random.Random(seed * 31 + n).randrange(0, size // 2) for n in range(5)]
    server.fail(WEIGHTS, *(Fault(cut=cut) for cut in cuts))
    pack = pull()
    assert (pack.path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    whole = sum(len(repo.files[file.name]) for file in pack.files)
    assert server.sent == whole  # not one byte came twice


@pytest.mark.parametrize("seed", range(6))
def test_a_pull_that_ended_early_is_gone_on_from_by_the_next(server, repo, pull, root, seed):
    size = len(repo.files[WEIGHTS])
    cut = random.Random(seed).randrange(1, size)
    impatient = Patience(silence=1.0, pause=0.001, longest_pause=1.0, tries=1)
    server.fail(WEIGHTS, Fault(cut=cut), Fault(cut=0), Fault(cut=0))
    with pytest.raises(PackDownloadError, match="cannot be reached") as caught:
        pull(patience=impatient)
    assert "where it stopped" in caught.value.remedy
    assert ModelStore(root).installed() == []
    server.faults.clear()
    before = server.sent
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    assert server.sent - before == size - cut
    assert pull.reported == size - cut <= pull.expected
    assert left_over(root) == ["tiny-vit"]


def test_a_damaged_part_of_an_earlier_pull_is_found_and_fetched_anew(server, repo, pull, root):
    server.fail(WEIGHTS, Fault(cut=5000), Fault(cut=0))
    with pytest.raises(PackDownloadError):
        pull(patience=Patience(silence=1, pause=0.001, tries=1))
    server.faults.clear()
    (part,) = root.rglob(f"{WEIGHTS}.part")
    part.write_bytes(b"\0" * part.stat().st_size)
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_a_part_that_is_too_long_is_dropped(repo, pull, root):
    folder = root / ".partial-acme--Tiny-ViT" / repo.commit
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").write_bytes(b"x" * (len(repo.files[WEIGHTS]) + 1))
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_parts_of_another_commit_go(repo, pull, root):
    old = root / ".partial-acme--Tiny-ViT" / ("a" * 40)
    old.mkdir(parents=True)
    (old / WEIGHTS).write_bytes(b"old")
    pull()
    assert left_over(root) == ["tiny-vit"]


def test_a_server_without_ranges_is_begun_anew(server, repo, pull):
    server.fail(WEIGHTS, Fault(cut=4000), Fault(ignore_range=True))
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_a_slow_server_is_waited_for_and_a_silent_one_asked_again(server, repo, pull):
    server.fail("config.json", Fault(pause_s=0.05))
    server.fail(WEIGHTS, Fault(pause_s=1.0))
    patience = Patience(silence=0.4, pause=0.001, tries=4)
    assert (pull(patience=patience).path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    assert len(server.asked(WEIGHTS)) == 2


def test_cancel_while_nothing_arrives(server, repo, pull, root):
    server.fail(WEIGHTS, Fault(pause_s=0.3))
    cancel = CancelToken()
    threading.Timer(0.6, cancel.cancel).start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        pull(cancel=cancel)
    assert time.monotonic() - started < 4
    assert ModelStore(root).installed() == []


def test_two_pulls_of_one_repository_do_not_mix(pull, repo, root):
    from filelock import FileLock

    home = root / ".partial-acme--Tiny-ViT"
    home.mkdir(parents=True)
    with FileLock(home / "lock"), pytest.raises(StorageError, match="another process"):
        pull()
    assert pull().id == "tiny-vit"


# What the hub answers -----------------------------------------------------------------------


def test_a_busy_hub_is_asked_again_when_it_says(server, repo, pull):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    server.fail("/api/", Fault(429, {"Retry-After": "0"}), Fault(500), Fault(503))
    server.fail(WEIGHTS, Fault(429, {"Retry-After": soon}), Fault(502), Fault(408))
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}])
def test_a_hub_that_asks_for_an_hour_is_not_waited_for(server, repo, pull, headers):
    server.fail("/api/", Fault(429, headers))
    with pytest.raises(PackDownloadError, match="come back in 3600 s"):
        pull()


def test_a_hub_that_stays_broken_is_given_up(server, repo, pull):
    server.fail("/api/", *[Fault(500)] * 10)
    with pytest.raises(PackDownloadError, match="answered 500") as caught:
        pull()
    assert "again" in caught.value.remedy
    assert len(server.requests) == HASTE.tries


def test_no_network_is_a_clear_error(server, repo, pull):
    server.close()
    with pytest.raises(PackDownloadError, match="cannot be reached") as caught:
        pull()
    assert "models import" in caught.value.remedy


def test_nobody_of_that_name_and_no_such_revision(server, repo, pull):
    with pytest.raises(PackDownloadError, match="no repository acme/Other"):
        pull("acme/Other")
    with pytest.raises(PackDownloadError, match="no such revision"):
        pull(f"{REPO}@v9")
    server.fail(WEIGHTS, Fault(404, {"X-Error-Code": "EntryNotFound"}))
    with pytest.raises(PackDownloadError, match="lost a file"):
        pull()


def test_a_gated_repository_says_what_to_do_at_each_step(server, repo, pull, root):
    repo.gated, repo.licence = True, "gemma"
    server.tokens |= {"alice", "bob"}
    repo.granted.add("bob")
    with pytest.raises(PackAccessError, match="gated") as caught:
        pull(accepted=True)
    assert "set HF_TOKEN" in caught.value.remedy
    assert f"{server.url}/{REPO}" in caught.value.remedy
    with pytest.raises(PackAccessError, match="was not let in"):
        pull(token="alice", accepted=True)
    with pytest.raises(LicenceError, match="licence gemma") as licence:
        pull(token="bob")
    assert "--accept-licence" in licence.value.remedy
    assert server.asked(WEIGHTS) == []
    pack = pull(token="bob", accepted=True)
    assert pack.licence == "gemma"
    assert datetime.fromisoformat(pack.licence_accepted_at).tzinfo is not None
    assert pack.licence_accepted_by
    assert ModelStore(root).pack("tiny-vit") == pack


def test_a_token_that_the_hub_does_not_know(server, repo, pull):
    with pytest.raises(PackAccessError, match="does not know the token") as caught:
        pull(token="forgotten")
    assert caught.value.field == "HF_TOKEN"
    server.tokens.add("known")
    server.fail("/api/", Fault(403, {"X-Error-Message": "no\x1b rights" + "!" * 999}))
    with pytest.raises(PackAccessError, match="rights!") as refused:
        pull(token="known")
    assert len(str(refused.value)) < 400
    assert "\x1b" not in str(refused.value)


def test_the_token_stays_with_the_hub(server, repo, pull):
    server.tokens.add("secret")
    server.redirect = True
    pull(token="secret")
    to_store = [request for request in server.requests if request.host == "store"]
    to_hub = [request for request in server.requests if request.host == "hub"]
    assert to_store
    assert all(request.token == "" for request in to_store)
    assert all(request.token == "secret" for request in to_hub)


@pytest.mark.parametrize("licence", ["llama3.2", "apple-amlr", "cc-by-nc-4.0", "other", None])
def test_terms_that_ask_for_consent_stop_before_the_weights(server, repo, pull, licence):
    repo.licence = licence
    repo.files["README.md"] = b"No head."
    with pytest.raises(LicenceError, match="consent") as caught:
        pull()
    assert f"{server.url}/{REPO}" in str(caught.value)
    assert server.asked(WEIGHTS) == []
    assert pull(accepted=True).licence_accepted_by


# What is refused ----------------------------------------------------------------------------


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
     "x\n.json", "dir./x.json", "x" * 300 + ".json"],
)  # fmt: skip
def test_file_names_that_lead_out_are_refused(repo, pull, root, name):
    repo.files[name] = b"{}"
    with pytest.raises(PackIntegrityError, match="file name"):
        pull()
    assert left_over(root) in ([], ["tiny-vit"])


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


# Names, addresses, tokens -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme/x", Reference("acme/x")),
        ("acme/x@v1.0", Reference("acme/x", "v1.0")),
        ("acme/x@refs/pr/1", Reference("acme/x", "refs/pr/1")),
        ("https://huggingface.co/acme/x", Reference("acme/x")),
        ("https://hf.co/acme/x/tree/v2", Reference("acme/x", "v2")),
        ("https://huggingface.co/acme/x/blob/abc/config.json", Reference("acme/x", "abc")),
        ("http://mirror.example:8080/acme/x/", Reference("acme/x")),
    ],
)
def test_how_a_repository_may_be_written(text, expected):
    assert parse_reference(text, "http://mirror.example:8080") == expected


@pytest.mark.parametrize(
    "text",
    ["acme/", "/x", "a/b/c", "acme/..", "acme/x@", "acme/x@../y", "https://evil.example/acme/x",
     "https://huggingface.co/datasets/acme/x", "ftp://huggingface.co/acme/x", "acme/x y", "-a/b"],
)  # fmt: skip
def test_what_names_no_repository(text):
    if text == "acme/x@":
        assert parse_reference(text) == Reference("acme/x")
        return
    with pytest.raises(UsageError):
        parse_reference(text)


def test_where_the_token_and_the_address_come_from(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert token_from_environment() == ""
    (tmp_path / "token").write_text("from-file\n")
    assert token_from_environment() == "from-file"
    monkeypatch.setenv("HF_TOKEN", " from-variable ")
    assert token_from_environment() == "from-variable"
    assert endpoint_from_environment() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert endpoint_from_environment() == "https://mirror.example"
    monkeypatch.setenv("HF_ENDPOINT", "mirror.example")
    with pytest.raises(UsageError, match="no address of a hub"):
        endpoint_from_environment()
