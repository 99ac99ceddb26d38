"""kill -9 at random moments: no committed row is lost, the file is sound, work goes on."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.project import Project
from vlmtool_core.records import MediaKind
from vlmtool_core.store.records import NewItem

SCRIPT = Path(__file__).with_name("killable_work.py")
KILLS = 20


def killed_after(seconds: float, *arguments: str | Path) -> list[str]:
    """Run the script, kill it `seconds` after it began, and return the lines it printed."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        timer = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
        timer.start()
        lines = process.stdout.read().split("\n")
        timer.cancel()
    return lines[:-1]  # what follows the last newline was cut by the kill


def assert_sound(root: Path) -> None:
    connection = sqlite3.connect(root / "project.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.mark.slow
def test_twenty_kills_while_labelling_lose_no_committed_annotation(tmp_path: Path) -> None:
    root = tmp_path / "p"
    with Project.create(root) as project:
        project.store.items.add_many(
            [
                NewItem(f"{i}.png", Path(f"/{i}.png"), MediaKind.IMAGE, f"{i:064x}")
                for i in range(30)
            ]
        )
    random.seed(9)
    committed: set[str] = set()
    for attempt in range(KILLS):
        committed.update(killed_after(random.uniform(0, 0.25), "label", root, str(attempt)))
        assert_sound(root)
        with Project.open(root) as project:
            found = [a.text for a in project.annotations() if a.kind == "text"]
            assert committed <= set(found)
            assert len(found) == len(set(found))
            # A bulk label is on all items or on none.
            assert len({item.labels for item in project.items()}) == 1
            steps = [entry for entry in project.history(10_000) if not entry.undone]
            texts = [entry for entry in steps if entry.description == "add 1 text"]
            assert len(texts) == len(found)
    assert len(committed) > KILLS
    with Project.open(root) as project:
        before = project.annotations()
        steps = 20
        assert all(project.undo() is not None for _ in range(steps))
        assert project.annotations() != before
        assert all(project.redo() is not None for _ in range(steps))
        assert project.annotations() == before


@pytest.mark.slow
def test_twenty_kills_while_adding_and_the_rest_is_added_in_the_end(tmp_path: Path) -> None:
    root, media = tmp_path / "p", tmp_path / "media"
    media.mkdir()
    noise = np.random.default_rng(0)
    for number in range(400):
        pixels = noise.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(media / f"{number}.png")
    Project.create(root).close()
    random.seed(10)
    kept = 0
    for _ in range(KILLS):
        killed_after(random.uniform(0, 0.25), "add", root, media)
        assert_sound(root)
        with Project.open(root) as project:
            assert project.count() >= kept
            kept = project.count()
    with Project.open(root) as project:
        report = project.add([media])
        assert report.added + report.unchanged == 400
        assert report.duplicates == ()
        assert sorted(item.name for item in project.items()) == sorted(
            file.name for file in media.iterdir()
        )
