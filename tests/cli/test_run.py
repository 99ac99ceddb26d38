"""`vlmtool-cli run` as a user runs it: real processes, exit codes, both streams, Ctrl-C and kill.

Most of it reads text, which needs no model pack.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

CLI = (sys.executable, "-m", "vlmtool_core.cli.main")


def cli(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*CLI, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=cwd)


def write_page(path: Path, text: str) -> None:
    # Square, as the reader enlarges the shorter side to 736 pixels.
    page = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(page).text((20, 80), text, "black", ImageFont.load_default(30))
    page.save(path)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "scans 扫描 🐈"
    (folder / "two").mkdir(parents=True)
    write_page(folder / "a.png", "ALPHA 12")
    write_page(folder / "two" / "a.png", "BRAVO 34")
    Image.new("RGB", (60, 60), "white").save(folder / "blank.png")
    return folder


def rows_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_go_to_stdout_and_progress_to_stderr(pages: Path) -> None:
    done = cli("run", pages, "--task", "read")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert [row["item"] for row in rows] == ["a.png", "blank.png", "two/a.png"]
    assert [row["outcome"] for row in rows] == ["ok", "empty", "ok"]
    assert [len(str(row["sha256"])) for row in rows] == [64] * 3
    assert {"frame", "time_s", "task", "model", "model_version"} <= rows[0].keys()
    assert "ALPHA" in json.dumps(rows[0])
    assert "BRAVO" in json.dumps(rows[2])
    assert "3 frames: 2 ok, 1 empty, 0 failed" in done.stderr
    again = cli("run", pages, "--task", "read")
    assert again.stdout == done.stdout
    assert "3 were done before" in again.stderr


def test_out_formats_and_json(pages: Path, tmp_path: Path) -> None:
    table, document = tmp_path / "out.csv", tmp_path / "new" / "out.json"
    done = cli("run", pages, "--task", "read", "--out", table, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["report"]["ok"] == 2
    with table.open(encoding="utf-8-sig", newline="") as file:
        assert {row["item"] for row in csv.DictReader(file)} == {"a.png", "blank.png", "two/a.png"}
    assert cli("run", pages, "--task", "read", "--out", document).returncode == 0
    assert {"images", "annotations"} <= json.loads(document.read_text(encoding="utf-8")).keys()
    whole = json.loads(cli("run", pages, "--task", "read", "--json", "--limit", "1").stdout)
    assert [row["item"] for row in whole["results"]] == ["a.png"]
    assert list(tmp_path.glob(".out*")) == []


def test_failed_items_are_listed_and_exit_with_1(pages: Path) -> None:
    (pages / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (pages / "letter.jpg").write_text("Dear Sir")
    done = cli("run", pages, "--task", "read")
    assert done.returncode == 1
    assert "failed: broken.png: " in done.stderr
    assert "failed: letter.jpg: " in done.stderr
    failed = [row for row in rows_of(done.stdout) if row["outcome"] == "failed"]
    assert [row["item"] for row in failed] == ["broken.png", "letter.jpg"]
    write_page(pages / "broken.png", "MENDED")
    (pages / "letter.jpg").unlink()
    mended = cli("run", pages, "--task", "read")
    assert mended.returncode == 0
    assert "MENDED" in mended.stdout


def test_one_file_is_enough(pages: Path) -> None:
    done = cli("run", pages / "a.png", "--task", "read")
    assert [row["item"] for row in rows_of(done.stdout)] == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--task", "read"], "nowhere"),
        (["empty", "--task", "read"], "holds no picture"),
        (["pages", "--task", "guess"], "guess"),
        (["pages"], "--task"),
        (["pages", "--task", "ask"], "question"),
        (["pages", "--task", "classify", "--labels", " , "], "names no label"),
        (["pages", "--task", "classify", "--labels", "a,a"], "twice"),
        (["pages", "--task", "classify", "--label-set", "nothing"], "scene"),
        (["pages", "--task", "classify", "--labels", "a", "--label-set", "scene"], "not both"),
        (["pages", "--task", "read", "--labels", "a"], "no meaning"),
        (["pages", "--task", "classify", "--threshold", "2"], "threshold"),
        (["pages", "--task", "classify", "--model", "v2"], "version of a project"),
        (["pages", "--task", "read", "--limit", "0"], "limit"),
        (["pages", "--task", "read", "--out", "results.txt"], "--format"),
        (["pages", "--task", "read", "--out", "empty"], "folder"),
    ],
)
def test_wrong_calls_exit_with_2_and_say_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    words: str,
) -> None:
    from vlmtool_core.cli.main import run_cli

    (tmp_path / "empty").mkdir()
    (tmp_path / "pages").mkdir()
    write_page(tmp_path / "pages" / "a.png", "A")
    monkeypatch.chdir(tmp_path)
    assert run_cli(["run", *arguments]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_a_missing_pack_exits_with_3_and_the_command(pages: Path) -> None:
    done = cli("run", pages, "--task", "classify")
    assert done.returncode == 3
    assert "vlmtool-cli models pull" in done.stderr
    assert cli("run", pages, "--task", "classify", "--model", "no-such-pack").returncode == 3


def test_a_project_takes_the_predictions(pages: Path, tmp_path: Path) -> None:
    from vlmtool_core.project import Project

    root = tmp_path / "project"
    Project.create(root).close()
    empty = cli("run", root, "--task", "read")
    assert empty.returncode == 2
    assert "vlmtool-cli add" in empty.stderr
    with Project.open(root) as project:
        project.add([pages])
    done = cli("run", root, "--task", "read")
    assert done.returncode == 0, done.stderr
    assert [row["outcome"] for row in rows_of(done.stdout)] == ["ok", "empty", "ok"]
    with Project.open(root) as project:
        (run,) = project.runs()
        assert (run.ok, run.empty) == (2, 1)
        item = project.find_item("two/a.png")
        (prediction,) = project.predictions(item.id)
        assert "BRAVO" in " ".join(line.text for line in prediction.outcome.lines)


def _many_pages(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        write_page(folder / f"p{number}.png", f"PAGE {number}")
    return folder


def _wait_for_progress(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if " 0/" not in line and "/s" in line:
            return
    raise AssertionError("the run ended before it was stopped")


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [*CLI, "run", str(folder), "--task", "read"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_the_run_goes_on(tmp_path: Path, home: Path) -> None:
    folder = _many_pages(tmp_path / "in", 12)
    process = _start(folder)
    _wait_for_progress(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "goes on where it stopped" in err
    resumed = cli("run", folder, "--task", "read")
    assert resumed.returncode == 0
    assert "were done before" in resumed.stderr
    assert len(rows_of(resumed.stdout)) == 12
    whole = cli("run", folder, "--task", "read", "--no-resume")
    assert whole.stdout == resumed.stdout


@pytest.mark.slow
def test_kill_9_of_the_command_loses_nothing(tmp_path: Path, home: Path) -> None:
    folder = _many_pages(tmp_path / "in", 12)
    for _ in range(2):
        process = _start(folder)
        try:
            _wait_for_progress(process)
        except AssertionError:
            break
        finally:
            process.kill()
            process.communicate(timeout=60)
    (ledger,) = (home / "cache" / "runs").glob("*.sqlite")
    with sqlite3.connect(ledger) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM row").fetchone()[0] > 0
    resumed = cli("run", folder, "--task", "read")
    assert resumed.returncode == 0
    assert cli("run", folder, "--task", "read", "--no-resume").stdout == resumed.stdout


@pytest.mark.slow
@pytest.mark.model
def test_every_task_with_the_starter_packs(starter_home: Path, tmp_path: Path) -> None:
    from skimage import data

    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(data.chelsea()).save(folder / "cat.png")
    Image.fromarray(data.astronaut()).save(folder / "person.jpg")
    calls = {
        "classify": ["--labels", "cat,person,car"],
        "detect": [],
        "embed": [],
    }
    rows = {task: rows_of(cli("run", folder, "--task", task, *more).stdout)
            for task, more in calls.items()}  # fmt: skip
    best = [row["scores"][0]["label"] for row in rows["classify"]]  # type: ignore[index]
    assert best == ["cat", "person"]
    assert rows["detect"][1]["boxes"][0]["label"] == "face"  # type: ignore[index]
    assert rows["detect"][0]["outcome"] == "empty"
    assert len(rows["embed"][0]["embedding"]) > 100  # type: ignore[arg-type]
