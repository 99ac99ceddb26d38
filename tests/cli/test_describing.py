"""Captioners and readers with plain prompts, from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from vlmtool_core.cli.main import run_cli
from vlmtool_core.engine import ModelStore

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "engine" / "families"))

import tiny_writers


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        picture = Image.new("RGB", (90, 40), colour)
        ImageDraw.Draw(picture).ellipse((10, 5, 40, 35), "white")
        picture.save(folder / name)
    return folder


def run(*arguments: str | Path) -> int:
    return run_cli(["run", *map(str, arguments)])


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_prompt_is_used_and_no_note_says_otherwise(home, tmp_path, pictures, capsys):
    ModelStore(home / "models").add_folder(tiny_writers.git(tmp_path / "git"), "git")
    given = (pictures, "--task", "caption", "--model", "git", "--prompt", "a photo of")
    assert run(*given) == 0
    out, err = capsys.readouterr()
    assert all(row["text"].startswith("a photo of") for row in rows(out))
    assert "not used" not in err
    assert run(*given[:-1], "  ") == 2
    assert "is empty" in capsys.readouterr().err


def test_a_task_of_florence_is_named_by_the_prompt(home, tmp_path, pictures, capsys):
    ModelStore(home / "models").add_folder(tiny_writers.florence2(tmp_path / "flo"), "flo")
    given = (pictures, "--model", "flo", "--task")
    assert run(*given, "caption", "--prompt", "more detailed") == 0
    out, err = capsys.readouterr()
    assert "not used" not in err
    tasks = {row["provenance"]["task"] for row in rows(out)}
    assert tasks == {"<MORE_DETAILED_CAPTION>"}
    assert run(*given, "caption", "--prompt", "write a poem") == 2
    assert "Name one of its tasks" in capsys.readouterr().err
    assert run(*given, "detect", "--threshold", "0.5") == 2
    assert "without scores" in capsys.readouterr().err
    assert run(*given, "read", "--prompt", "text") == 0
    assert all(row["provenance"]["task"] == "<OCR>" for row in rows(capsys.readouterr().out))


def test_a_model_without_the_task_is_refused(home, tmp_path, pictures, capsys):
    ModelStore(home / "models").add_folder(tiny_writers.blip(tmp_path / "b", answers=True), "vqa")
    assert run(pictures, "--task", "caption", "--model", "vqa") == 2
    assert "serves ask" in capsys.readouterr().err
    assert run(pictures, "--task", "ask", "--model", "vqa", "--question", "what is this?") == 0
    assert len(rows(capsys.readouterr().out)) == 2
