"""`vlmtool-cli ask`: several pictures in one question, forms of answers, streaming and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vlmtool_core.cli.main import run_cli
from vlmtool_core.engine import ModelStore

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "engine" / "families"))

import chat_models


@pytest.fixture
def talker(home: Path, tmp_path: Path) -> str:
    """The id of a tiny chat model in the user's store."""
    ModelStore(home / "models").add_folder(chat_models.smolvlm(tmp_path / "smol"), "smol")
    return "smol"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "red.png", tmp_path / "blue.png"]
    for path, colour in zip(paths, ("red", "blue"), strict=True):
        Image.new("RGB", (90, 40), colour).save(path)
    return paths


def ask(*arguments: str | Path) -> int:
    return run_cli(["ask", *map(str, arguments)])


def test_the_answer_goes_to_stdout_and_the_model_to_stderr(talker, pictures, capsys):
    given = (*pictures, "--question", "What differs?", "--model", talker, "--max-tokens", "8")
    assert ask(*given) == 0
    out, err = capsys.readouterr()
    assert ask(*given, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert out == document["text"] + "\n" != "\n"
    assert "smol" in err
    assert document["model"] == "smol"
    assert document["question"] == "What differs?"
    assert [item["item"] for item in document["items"]] == ["red.png", "blue.png"]
    assert len(document["provenance"]["pictures"]) == 2


def test_a_folder_is_all_its_pictures(talker, pictures, capsys):
    folder = pictures[0].parent / "both"
    folder.mkdir()
    for path in pictures:
        path.rename(folder / path.name)
    given = (folder, "--question", "Why?", "--model", talker, "--max-tokens", "2", "--json")
    assert ask(*given) == 0
    document = json.loads(capsys.readouterr().out)
    assert [item["item"] for item in document["items"]] == ["blue.png", "red.png"]


def test_answers_of_a_form(talker, pictures, tmp_path, capsys):
    question = (pictures[0], "--question", "A cat?", "--model", talker)
    assert ask(*question, "--answer", "yes/no") == 0
    out, err = capsys.readouterr()
    assert out in ("yes\n", "no\n")
    assert "%" in err
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "boolean"}}}')
    assert ask(*question, "--answer", schema, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"] == json.loads(document["text"])
    assert ask(*question, "--answer", "an essay") == 2
    assert "yes/no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/none.png", "--question", "a"], "no such file"),
        (["{folder}/red.png", "--question", " "], "is empty"),
        (["{folder}/red.png", "--question", "a", "--model", "none"], "none"),
        (["{folder}/red.png", "--question", "a", "--model", "smol", "--frame", "9"], "no frame 9"),
    ],
)
def test_wrong_calls_say_what_is_wrong(arguments, message, talker, pictures, tmp_path, capsys):
    given = [argument.format(folder=tmp_path) for argument in arguments]
    assert ask(*given) in (2, 3)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(talker, pictures):
    """In a terminal the answer is told while it is written."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vlmtool_core.cli.main", "ask", str(pictures[0]),
               "--question", "What is it?", "--model", talker, "--max-tokens", "4000"]  # fmt: skip
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, text=True) as running:
        os.close(theirs)
        said = os.read(ours, 100)
        running.send_signal(signal.SIGINT)
        errors = running.communicate(timeout=120)[1]
    os.close(ours)
    assert said.strip()
    assert running.returncode == 130, errors
    assert "Stopped." in errors


@pytest.mark.model
@pytest.mark.slow
def test_the_starter_answers_about_one_picture(starter_home, pictures, capsys):
    question = ("--question", "Is there a face?", "--json")
    assert ask(pictures[0], *question) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "starter-ask"
    assert ask(pictures[0], *question, "--answer", "yes/no") == 0
    answered = json.loads(capsys.readouterr().out)
    assert (answered["text"], answered["data"]) == (said["text"], False)
    assert ask(pictures[0], *question, "--answer", "one of: cat|dog") == 1
    failed = json.loads(capsys.readouterr().out)
    assert (failed["outcome"], failed["text"]) == ("failed", said["text"])
    assert "one of cat, dog" in failed["error"]["message"]
    assert ask(*pictures, *question) == 2
    assert "one picture at a time" in capsys.readouterr().err


def test_a_run_asks_every_picture_by_itself(talker, pictures, tmp_path, capsys):
    table = tmp_path / "answers.csv"
    given = ["run", pictures[0].parent / "red.png", "--task", "ask", "--question", "A cat?",
             "--model", talker, "--answer", "one of: cat|dog"]  # fmt: skip
    assert run_cli([*map(str, given)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["data"] in ("cat", "dog")
    assert {score["label"] for score in row["scores"]} == {"cat", "dog"}
    assert run_cli([*map(str, given), "--out", str(table)]) == 0
    assert f'"""{row["data"]}"""' in table.read_text()
