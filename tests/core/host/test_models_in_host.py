"""The real host with tiny models: loading, memory told beforehand, who is served first, death."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from tests.core.engine.test_loaded import save_model
from tests.core.host.test_requests import Host

from vlmtool_core.engine import ModelStore
from vlmtool_core.host import log_file
from vlmtool_core.host.client import HostClient, HostState
from vlmtool_core.host.kept_project import KeptProject
from vlmtool_core.project import Project

PICTURES = 90
BATCH = 16
SPEC = {"task": "classify", "model": "tiny", "labels": []}
SLOW = {"task": "classify", "model": "slow", "labels": []}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three models, one of which says that it needs 4,000 GB, and pictures."""
    folder = tmp_path_factory.mktemp("host")
    store = ModelStore(folder / "home" / "models")
    for name in ("tiny", "other", "huge"):
        store.add_folder(save_model(folder / name), name)
    store.add_folder(save_model(folder / "slow", width=192, layers=3, side=224), "slow")
    card = store.pack("huge").path / "pack.toml"
    lines = [line for line in card.read_text().splitlines() if "memory_bytes" not in line]
    card.write_text("\n".join(["memory_bytes = 4_000_000_000_000", *lines]))
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(5)
    for number in range(PICTURES):
        pixels = rng.integers(0, 255, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number:03}.png")
    return folder


def command(place: Path) -> list[str]:
    settings = [f"VLMTOOL_HOME={place / 'home'}", "HF_HUB_OFFLINE=1"]
    return ["/usr/bin/env", *settings, sys.executable, "-P", "-m", "vlmtool_core.host"]


@pytest.fixture(scope="module")
def states() -> queue.Queue[HostState]:
    return queue.Queue()


@pytest.fixture(scope="module")
def client(place: Path, states: queue.Queue[HostState]) -> Iterator[HostClient]:
    with HostClient(command(place), on_state=states.put) as client:
        Host(client).ask("load", model="tiny")
        yield client


@pytest.fixture
def host(client: HostClient) -> Host:
    return Host(client)


@pytest.fixture
def root(place: Path, tmp_path: Path) -> str:
    with Project.create(tmp_path / "project") as project:
        project.add([place / "pictures"])
    return str(tmp_path / "project")


def item_ids(root: str) -> list[int]:
    with Project.open(Path(root)) as project:
        return project.item_ids()


def test_models_are_loaded_listed_and_unloaded(host: Host, states: queue.Queue[HostState]) -> None:
    host.ask("load", model="tiny")
    loaded = host.ask("load", model="other")
    assert [model["id"] for model in loaded["models"]] == ["other", "tiny"]
    assert all(model["bytes"] > 0 for model in loaded["models"])
    assert loaded["budget_bytes"] > 10**9
    assert [model["id"] for model in host.ask("unload", model="other")["models"]] == ["tiny"]
    assert host.ask("loaded")["models"] == host.ask("unload", model="no such")["models"]
    told = [states.get_nowait() for _ in range(states.qsize())]
    assert HostState("loading", "tiny") in told
    assert HostState("loading", "other") in told
    assert host.refused("load").field == "model"
    assert host.refused("load", model="missing").code == "missing-pack"


def test_what_does_not_fit_is_told_before_it_is_loaded(host: Host, root: str) -> None:
    spec = {**SPEC, "model": "huge"}
    one = item_ids(root)[0]
    refusals = [
        host.refused("load", model="huge"),
        host.refused("predict", project=root, item_id=one, spec=spec),
        host.refused("run", project=root, spec=spec),
    ]
    for error in refusals:
        assert error.code == "not-enough-memory"
        assert "huge needs about 3725.3 GB" in error.message
        assert "tiny" in error.remedy
    with Project.open(Path(root)) as project:
        assert project.predictions(one, newest_only=False) == []


def test_the_log_is_asked_for_and_names_nobody(host: Host, place: Path, tmp_path: Path) -> None:
    patient = tmp_path / "Smith, John"
    assert host.refused("run", project=str(patient), spec=SPEC).code == "project-not-found"
    log = host.ask("log", lines=1000)
    text = "\n".join(log["lines"])
    assert Path(log["path"]).parent == place / "home" / "logs"
    assert "engine host started" in text
    assert "(run) failed: project-not-found" in text
    assert "Smith" not in text
    assert len(host.ask("log", lines=1)["lines"]) == 1


def test_a_prediction_goes_before_a_run_and_is_bound_to_its_item(
    client: HostClient, host: Host, root: str
) -> None:
    ids = item_ids(root)
    looking = Host(client)
    host.send("run", project=root, spec=SLOW)
    assert host.moved.wait(100)
    done_before = host.progress[-1]["done"]
    (found,) = looking.ask("predict", project=root, item_id=ids[-1], spec=SPEC)["predictions"]
    assert found["item_id"] == ids[-1]
    assert host.answers.empty(), "the run was over before the prediction"
    assert host.progress[-1]["done"] - done_before <= 2 * BATCH
    state, report = host.next()
    assert state == "result"
    assert report["ok"] == PICTURES
    with Project.open(Path(root)) as project:
        assert len(project.predictions(ids[-1], newest_only=False)) == len(project.runs()) == 2


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_batch_loses_nothing(place: Path, root: str) -> None:
    with HostClient(command(place)) as client:
        host = Host(client)
        host.send("run", project=root, spec=SLOW)
        assert host.moved.wait(100)
        os.kill(client.pid or 0, signal.SIGKILL)
        state, error = host.next()
        assert (state, error.code) == ("error", "host")
        assert "SIGKILL" in error.message
        with Project.open(Path(root)) as project:
            (run,) = project.runs()
            assert 0 < run.ok < PICTURES
        report = host.ask("run", project=root, spec=SLOW)
        assert (report["ok"], report["skipped"] >= run.ok) == (PICTURES, True)
        log = "\n".join(log_file.last_lines())
        assert "the engine host was killed by SIGKILL" in log


def test_many_predictions_leave_nothing_behind(client: HostClient, host: Host, root: str) -> None:
    ids = item_ids(root)[:5]

    def rounds(count: int) -> None:
        for number in range(count):
            params = {"project": root, "item_id": ids[number % 5], "spec": SPEC}
            assert host.ask("predict", **params)["predictions"]

    rounds(30)
    process = psutil.Process(client.pid)
    before = process.memory_info().rss, process.num_fds(), process.num_threads()
    rounds(200)
    after = process.memory_info().rss, process.num_fds(), process.num_threads()
    assert after[0] - before[0] < 20_000_000
    assert after[1] <= before[1]
    assert after[2] <= before[2] + 1


def test_a_kept_project_is_shared_and_let_go(root: str, place: Path, tmp_path: Path) -> None:
    kept = KeptProject(idle_s=0.05)
    with kept.use(Path(root)):
        timers = set(threading.enumerate())
    for thread in set(threading.enumerate()) - timers:
        thread.join(10)
    assert not kept.is_open
    kept = KeptProject()
    with kept.use(Path(root)) as first:
        pass
    with kept.use(Path(root)) as second:
        assert second is first
    other = tmp_path / "other"
    Project.create(other).close()
    with kept.use(other) as third:
        assert third.root == other
    Path(other / "project.sqlite").unlink()
    Project.create(other, name="new").close()
    with kept.use(other) as fourth:
        assert fourth.name == "new"
    with pytest.raises(KeyError), kept.use(other):
        raise KeyError
    assert not kept.is_open
