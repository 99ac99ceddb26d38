"""An installed plugin reaches the command line, the engine host and the window."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.engine.test_pull import WEIGHTS, Index
from tests.core.engine.test_pull import index as index
from tests.extensions.grey_files import write_grey
from tests.extensions.test_model_cards import CARD

from vlmtool_core.cli.main import run_cli
from vlmtool_core.host.client import HostClient
from vlmtool_core.project import Project

PLUGIN = """
from vlmtool_core.api import API_VERSION, Exporter, PluginInfo
from grey_files import GREY

def plugin_info(): return PluginInfo("grey", "Grey files", "1", API_VERSION)
def register_readers(): return [GREY]
def register_exporters():
    return [Exporter("names", "Names", ".names", lambda rows, _: (f"{r.item}\\n" for r in rows))]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the plugin as an installed distribution, on the path of new processes."""
    folder = tmp_path / "site"
    metadata = folder / "grey-1.0.dist-info"
    metadata.mkdir(parents=True)
    source = Path(__file__).with_name("grey_files.py").read_text(encoding="utf-8")
    (folder / "grey_files.py").write_text(source, encoding="utf-8")
    (folder / "grey_plugin.py").write_text(PLUGIN, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grey\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[vlmtool.plugins]\ngrey = grey_plugin\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    write_grey(folder / "one.grey", np.full((1, 64, 64), 255, np.uint8))
    return folder


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vlmtool_core.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))


def test_the_command_line_runs_over_its_files_and_writes_its_format(site: Path, media: Path):
    done = cli("run", media, "--task", "read", "--format", "names")
    assert (done.returncode, done.stdout) == (0, "one.grey\n"), done.stderr
    listed = json.loads(cli("plugins", "--json").stdout)["plugins"]
    grey = next(plugin for plugin in listed if plugin["name"] == "grey")
    assert (grey["readers"], grey["formats"]) == (["grey-file"], ["names"])


def test_the_engine_host_adds_its_files(site: Path, media: Path, tmp_path: Path):
    Project.create(tmp_path / "project").close()
    answers: queue.Queue[Any] = queue.Queue()
    with HostClient() as client:
        params = {"project": str(tmp_path / "project"), "paths": [str(media)]}
        client.request("add", params, on_result=answers.put, on_error=answers.put)
        answer = answers.get(timeout=60)
    assert answer["added"] == 1


def test_the_window_connects_plugins_when_it_starts(site: Path, media: Path):
    """The picture thread opens a file of the plugin once the application was started."""
    script = f"""
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from vlmtool_core.media import open_media
from vlmtool_desktop import application

def look():
    with open_media(Path({str(media / "one.grey")!r})) as source:
        print(source.info.width)
    application.QApplication.instance().quit()

app = application.make_application()
QTimer.singleShot(0, look)
sys.exit(application.run_application([]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "64", done.stderr


def test_a_card_of_a_plugin_is_pulled(register, index: Index, capsys: pytest.CaptureFixture[str]):
    wheel = hashlib.sha256(index.wheel.read_bytes()).hexdigest()
    file = {
        "path": "vlmtool_test_weights/model.bin",
        "name": "model.bin",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    }
    licences = ["vlmtool_test_weights-1.0.dist-info/LICENSE"]
    source = {**CARD["source"], "sha256": wheel, "files": [file], "licence_files": licences}
    register(register_model_cards=[{**CARD, "source": source}])
    assert run_cli(["models", "pull", "tests"]) == 0
    assert run_cli(["models", "verify", "test-weights"]) == 0
    assert "test-weights 1.0: whole" in capsys.readouterr().out


def test_only_the_public_interface_is_used():
    tree = ast.parse(Path(__file__).with_name("grey_files.py").read_text(encoding="utf-8"))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert {name for name in names if name.startswith("vlmtool")} == {"vlmtool_core.api"}
