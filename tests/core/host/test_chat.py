"""The request `chat` of the real engine host: pieces, turns with pictures, forms, cancel."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vlmtool_core.engine import ModelStore
from vlmtool_core.host.client import HostClient
from vlmtool_core.project import Project

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "families"))

import chat_models


class Talk:
    """One host, whose pieces and answers come in order through one queue."""

    def __init__(self, client: HostClient) -> None:
        self.client = client
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()

    def say(self, **params: Any) -> int:
        return self.client.request(
            "chat",
            {"model": "smol", **params},
            lambda value: self.heard.put(("progress", value)),
            lambda value: self.heard.put(("result", value)),
            lambda error: self.heard.put(("error", error)),
        )

    def answer(self, **params: Any) -> tuple[str, Any, str]:
        """How it ended, with what, and the pieces joined."""
        self.say(**params)
        return self.rest("")

    def rest(self, text: str) -> tuple[str, Any, str]:
        while True:
            state, value = self.heard.get(timeout=200)
            if state != "progress":
                return state, value, text
            text += value.get("text", "")


@pytest.fixture
def talk(home: Path, tmp_path: Path) -> Iterator[Talk]:
    ModelStore(home / "models").add_folder(chat_models.smolvlm(tmp_path / "smol"), "smol")
    with HostClient() as client:
        yield Talk(client)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (90, 40), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def turn(text: str, *items: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "text": text, "items": list(items)}


def test_a_conversation_about_a_file_and_an_item_of_a_project(talk, picture, tmp_path):
    with Project.create(tmp_path / "project") as project:
        project.add([picture])
        item_id = project.item_ids()[0]
    shown = [{"path": str(picture)}, {"project": str(tmp_path / "project"), "item_id": item_id}]
    turns = [turn("What is it?", *shown), turn("Red.", role="assistant"), turn("And now?")]
    state, value, text = talk.answer(turns=turns, max_tokens=12)
    assert state == "result", value
    assert value["outcome"] == "ok"
    assert value["model"] == "smol"
    assert text == value["text"] != ""
    assert len(value["provenance"]["pictures"]) == 2
    asked = {"turns": [turn("Is it red?", shown[0])], "answer": {"kind": "yes/no"}}
    state, value, text = talk.answer(**asked)
    assert value["data"] is (text == "yes")


def test_what_is_wrong_is_named(talk):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "turns"),
        ({"turns": "hello"}, "turns"),
        ({"turns": [{"role": "user"}]}, "turns[0].text"),
        ({"turns": [turn("a", role="boss")]}, "turns[0].role"),
        ({"turns": [turn("a", {"frame": 0})]}, "turns[0].items[0].path"),
        ({"turns": [turn("a")], "answer": {"kind": "essay"}}, "answer"),
        ({"turns": [turn("a")], "max_tokens": 0}, "max_tokens"),
        ({"turns": []}, "turns"),
    ]
    for params, field in wrong:
        state, error, _ = talk.answer(**params)
        assert (state, error.field) == ("error", field)


def test_cancel_between_two_tokens_is_answered_at_once(talk, picture):
    number = talk.say(turns=[turn("What is it?", {"path": str(picture)})], max_tokens=4000)
    while True:
        state, value = talk.heard.get(timeout=200)
        assert state == "progress", value
        if value.get("text"):
            break
    began = time.monotonic()
    talk.client.cancel(number)
    state, value, text = talk.rest(value["text"])
    assert time.monotonic() - began < 0.6  # 300 ms on a machine that does nothing else
    assert text
    if state == "result":
        assert value["outcome"] == "cancelled"
        assert value["text"] == text
    else:
        assert value.code == "cancelled"
    state, value, _ = talk.answer(turns=[turn("Again?")], max_tokens=2)
    assert state == "result", value
