"""kill -9 at random moments of a run: nothing kept is lost, and the table ends the same."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killable_run.py")


def _start(folder: Path, file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(folder), str(file), "6000"]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _table(file: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute("SELECT * FROM row ORDER BY item, frame").fetchall()


@pytest.mark.slow
def test_twenty_kills_lose_nothing(
    pictures: Callable[..., Path], tmp_path: Path, clip: Path
) -> None:
    folder = pictures(250)
    clip.rename(folder / "p100.mp4")
    (folder / "p30.png").write_bytes(b"broken")
    whole = tmp_path / "whole.sqlite"
    process = _start(folder, whole)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    begun = time.monotonic()
    assert process.wait(120) == 0
    duration = time.monotonic() - begun
    expected = _table(whole)
    assert len(expected) == 250 + 5

    random.seed(20)
    file, kept, killed = tmp_path / "killed.sqlite", 0, 0
    for _ in range(20):
        process = _start(folder, file)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        try:
            process.wait(random.uniform(0, duration / 8))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        rows = _table(file)
        assert len(rows) >= kept
        assert set(rows) <= set(expected)
        kept = len(rows)
    assert killed >= 5
    assert _start(folder, file).wait(120) == 0
    assert _table(file) == expected
