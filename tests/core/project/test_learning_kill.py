"""kill -9 at random moments of `train` and `label`: no half version, nothing committed is lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlmtool_core.engine.heads import ProbeHead
from vlmtool_core.project import Project
from vlmtool_core.training.version_folder import read_card

sys.path.insert(0, str(Path(__file__).parent))
from colour_engine import COLOURS, ColourEngine, draw

SCRIPT = Path(__file__).with_name("killable_learning.py")
KILLS = 20


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """The script, at the point where its work begins."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def duration_of(*arguments: object) -> float:
    """Seconds that the work takes when nobody kills it."""
    process = start(*arguments)
    begun = time.monotonic()
    assert process.wait(120) == 0
    return time.monotonic() - begun


def kill_at_random(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Kill -9 after a random time; False when the process had ended before."""
    try:
        process.wait(random.uniform(0, within_s))
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    return process.wait(60) == -signal.SIGKILL


def integrity(root: Path) -> str:
    with sqlite3.connect(root / "project.sqlite") as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of 60 labelled pictures with one trained version."""
    draw(tmp_path / "in", dict.fromkeys(COLOURS, 20))
    with Project.create(tmp_path / "p") as project:
        project.add([tmp_path / "in"])
        for colour in COLOURS:
            ids = [i.id for i in project.items() if colour in i.name]
            project.set_label(ids, colour)
        project.train(engine=ColourEngine())  # type: ignore[arg-type]
    return tmp_path / "p"


@pytest.mark.slow
def test_twenty_kills_of_train_leave_no_half_version(root: Path) -> None:
    random.seed(20)
    duration = duration_of("train", root)
    with Project.open(root) as project:
        labels = project.annotations()
        sides = project.store.learning.split()
        numbers = [v.number for v in project.versions()]
    killed = 0
    for _ in range(KILLS):
        killed += kill_at_random(start("train", root), 1.1 * duration)
        assert integrity(root) == "ok"
        with Project.open(root) as project:
            versions = project.versions()
            assert [v.number for v in versions[: len(numbers)]] == numbers
            assert len(versions) <= len(numbers) + 1
            numbers = [v.number for v in versions]
            for version in versions:
                assert ProbeHead.load(version.path).labels
                assert read_card(version.path)["version"] == version.number
            assert project.active_version() in versions
            assert project.annotations() == labels
            assert project.store.learning.split() == sides
            assert project.store.audit.verify().broken_at is None
    assert killed >= KILLS // 4
    duration_of("train", root)
    with Project.open(root) as project:
        assert project.versions()[-1].active
        named = {v.path.name for v in project.versions()}
        there = {p.name for p in (root / "models").iterdir() if p.is_dir()}
        assert there - {"unclaimed"} == named
        states = {run.status for run in project.store.learning.training_runs()}
        assert states <= {"finished", "failed"}
        while project.rollback() is not None:
            pass
        assert project.active_version() is None


@pytest.mark.slow
def test_twenty_kills_of_label_take_in_all_or_nothing(root: Path, tmp_path: Path) -> None:
    random.seed(21)
    names = {f"{colour}-{n}.png": colour for colour in COLOURS for n in range(20)}
    tables = []
    for turn in range(2):
        order = list(COLOURS)
        new = {c: order[(k + turn + 1) % 3] for k, c in enumerate(order)}
        table = tmp_path / f"labels-{turn}.csv"
        rows = [f"in/{name},{new[colour]},group {turn}" for name, colour in names.items()]
        table.write_text("\n".join(["path,label,group", *rows]) + "\n")
        tables.append((table, {name: new[colour] for name, colour in names.items()}))
    states = [{Path(k).name: v for k, v in wanted.items()} for _, wanted in tables]
    states.append(names)
    duration = duration_of("label", root, tables[0][0])
    killed = 0
    for turn in range(KILLS):
        table = tables[turn % 2][0]
        killed += kill_at_random(start("label", root, table), 1.2 * duration)
        assert integrity(root) == "ok"
        with Project.open(root) as project:
            found = {Path(i.name).name: i.labels[0] for i in project.items()}
            assert found in states
            assert len(project.annotations()) == 60
    assert killed >= KILLS // 4
    duration_of("label", root, tables[1][0])
    with Project.open(root) as project:
        assert {Path(i.name).name: i.labels[0] for i in project.items()} == states[1]
        assert {i.group for i in project.items()} == {"group 1"}
