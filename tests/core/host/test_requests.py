"""The real engine host process with real projects: what each kind of request does and refuses."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from vlmtool_core.host.client import HostClient
from vlmtool_core.project import Project


class Host:
    """Asks the host and waits for the answer."""

    def __init__(self, client: HostClient) -> None:
        self.client = client
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.progress: list[Any] = []
        self.moved = threading.Event()

    def send(self, kind: str, **params: Any) -> int:
        def on_progress(value: Any) -> None:
            self.progress.append(value)
            if value["done"]:
                self.moved.set()

        return self.client.request(
            kind,
            params,
            on_progress,
            lambda value: self.answers.put(("result", value)),
            lambda error: self.answers.put(("error", error)),
        )

    def next(self) -> tuple[str, Any]:
        return self.answers.get(timeout=200)

    def ask(self, kind: str, **params: Any) -> Any:
        self.send(kind, **params)
        state, value = self.next()
        assert state == "result", value
        return value

    def refused(self, kind: str, **params: Any) -> Any:
        self.send(kind, **params)
        state, error = self.next()
        assert state == "error", error
        return error


@pytest.fixture
def host() -> Iterator[Host]:
    with HostClient() as client:
        yield Host(client)


def _page(path: Path, text: str) -> None:
    page = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(page).text((20, 80), text, "black", ImageFont.load_default(30))
    page.save(path)


@pytest.fixture
def project(tmp_path: Path) -> str:
    folder = tmp_path / "pages"
    folder.mkdir()
    for number in range(6):
        _page(folder / f"p{number}.png", f"PAGE {number}")
    root = tmp_path / "project"
    with Project.create(root) as project:
        project.add([folder])
    return str(root)


READ = {"task": "read"}


def test_add_run_and_predict(host: Host, project: str, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    _page(more / "extra.png", "EXTRA")
    (more / "broken.png").write_bytes(b"")
    added = host.ask("add", project=project, paths=[str(more)], group_by=None)
    assert added["added"] == 1
    (unreadable,) = added["unreadable"]
    assert unreadable["name"].endswith("broken.png")
    with Project.open(Path(project)) as opened:
        ids = opened.item_ids()
    predicted = host.ask("predict", project=project, item_id=ids[2], frame=0, spec=READ)
    (prediction,) = predicted["predictions"]
    assert prediction["lines"]
    assert prediction["decision"] == "pending"
    report = host.ask("run", project=project, spec=READ, item_ids=ids[1:4])
    assert (report["ok"], report["skipped"], report["run_id"]) == (3, 1, prediction["run_id"])
    assert host.progress[-1]["done"] == 2


def test_cancel_keeps_what_is_done(host: Host, project: str) -> None:
    number = host.send("run", project=project, spec=READ)
    assert host.moved.wait(200)
    host.client.cancel(number)
    state, error = host.next()
    assert (state, error.code) == ("error", "cancelled")
    with Project.open(Path(project)) as opened:
        (run,) = opened.runs()
        assert 0 < run.ok < 6
        assert run.ended_at is None


def test_what_is_missing_or_wrong_is_said_with_its_field(host: Host, project: str) -> None:
    missing = host.refused("run", project=project, spec={"task": "classify"})
    assert missing.code == "missing-pack"
    assert "pull starter" in missing.remedy
    assert host.refused("run", project=project, spec={"task": "fly"}).field == "task"
    assert host.refused("run", project=project).field == "spec"
    assert host.refused("run", spec=READ).field == "project"
    assert host.refused("run", project=project, spec=READ, item_ids=["a"]).field == "item_ids[0]"
    assert host.refused("run", project="/nowhere", spec=READ).code == "project-not-found"
    assert host.refused("predict", project=project, item_id=99, spec=READ).code == "not-found"
    assert host.refused("train", project=project, settings={"speed": 3}).code in ("format", "usage")
    assert host.refused("workflow", key="no.such", inputs=[]).code == "not-found"
    assert host.refused("pull", ids=["no-such-pack"]).code == "usage"


def test_models_names_packs_and_the_device(host: Host) -> None:
    found = host.ask("models")
    assert found["packs"] == []
    assert found["device"]["kind"] in ("cpu", "cuda")
    assert found["device"]["name"]


def test_a_file_called_torch_in_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    with HostClient() as client:
        assert Host(client).ask("ping")["pid"] == client.pid


@pytest.mark.slow
@pytest.mark.model
def test_train_evaluate_and_the_active_version(
    starter_home: Path, host: Host, tmp_path: Path
) -> None:
    folder = tmp_path / "colours"
    folder.mkdir()
    for number in range(12):
        for name, colour in (("red", (200 + number, 20, 20)), ("blue", (20, 20, 200 + number))):
            Image.new("RGB", (64, 64), colour).save(folder / f"{name}{number}.png")
    root = tmp_path / "project"
    with Project.create(root) as project:
        project.add([folder])
        for item in project.items():
            project.set_label([item.id], "red" if "red" in item.name else "blue")
    report = host.ask("train", project=str(root), settings={"method": "probe"})
    assert report["new"]["accuracy"]
    assert any(message.get("curve") for message in host.progress)
    if report["activated"]:
        run = host.ask("run", project=str(root), spec={"task": "classify"})
        assert run["ok"] == 24
        with Project.open(root) as project:
            assert project.runs()[-1].model.version.endswith("+v1")
    assert host.ask("evaluate", project=str(root), models=["v1"])["evaluations"]
