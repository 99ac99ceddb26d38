"""Named prompts of plugins stand for their text in `run`, and windows are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.extensions.conftest import reasons

from vlmtool_core.api import WindowPreset
from vlmtool_core.cli.main import run_cli
from vlmtool_core.cli.run_prompts import prompt_and_question
from vlmtool_core.errors import PluginError, UsageError
from vlmtool_core.records import Task

PROMPTS = {"rust": "Describe the rust on the part."}


def test_a_prompt_is_a_name_or_a_text(register):
    register(register_prompts=PROMPTS)
    assert prompt_and_question(Task.CAPTION, "rust", None) == (PROMPTS["rust"], None)
    assert prompt_and_question(Task.CAPTION, "in one word", None) == ("in one word", None)
    assert prompt_and_question(Task.ASK, "rust", None) == (None, PROMPTS["rust"])
    assert prompt_and_question(Task.ASK, None, "rust") == (None, PROMPTS["rust"])
    assert prompt_and_question(Task.READ, None, None) == (None, None)


@pytest.mark.parametrize(
    ("task", "prompt", "question"),
    [
        (Task.EMBED, "rust", None),
        (Task.CLASSIFY, None, "why?"),
        (Task.CAPTION, None, "why?"),
        (Task.ASK, "rust", "why?"),
        (Task.CAPTION, " ", None),
    ],
)
def test_a_prompt_that_would_do_nothing_is_refused(manager, task, prompt, question):
    with pytest.raises(UsageError):
        prompt_and_question(task, prompt, question)


def test_plugins_lists_prompts(register, capsys):
    register(register_prompts=PROMPTS)
    assert run_cli(["plugins"]) == 0
    assert "prompts: rust" in capsys.readouterr().out
    assert run_cli(["plugins", "--json"]) == 0
    plugins = {p["name"]: p for p in json.loads(capsys.readouterr().out)["plugins"]}
    assert plugins["fake"]["prompts"] == ["rust"]
    assert "describe" in plugins["builtin"]["prompts"]


def test_the_first_prompt_of_a_name_stays(register):
    manager = register("second", register_prompts={"describe": "Shout."})
    assert manager.prompts()["describe"] != "Shout."
    assert "there is already a prompt 'describe'" in reasons(manager)


@pytest.mark.parametrize("given", [{"a": 3}, {"": "text"}, {"a": " "}, {4: "text"}, ["a"], None])
def test_wrong_prompts_are_a_listed_failure(register, given):
    manager = register("odd", register_prompts=given)
    assert set(manager.prompts()) == {"describe"}
    assert [failure.name for failure in manager.failures] == ["odd"]


@pytest.mark.model
@pytest.mark.slow
def test_a_caption_records_the_prompt_and_that_it_was_not_used(
    register, starter_home: Path, tmp_path: Path, capsys
):
    register(register_prompts=PROMPTS)
    from sklearn.datasets import load_sample_image

    Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / "china.png")
    arguments = ["run", str(tmp_path / "china.png"), "--task", "caption", "--prompt", "rust"]
    assert run_cli([*arguments, "--format", "jsonl"]) == 0
    told = capsys.readouterr()
    provenance = json.loads(told.out)["provenance"]
    assert provenance["prompt"] == PROMPTS["rust"]
    assert provenance["prompt_used"] is False
    assert "cannot follow a prompt" in told.err


@pytest.mark.parametrize(
    "windows",
    [
        [WindowPreset("Lung", -600, 1500)],
        ("Lung",),
        (WindowPreset("Lung", -600, 0),),
        (WindowPreset("Lung", float("nan"), 10),),
        (WindowPreset("", 0, 10),),
        (WindowPreset("Lung", "0", 10),),
        (WindowPreset("Lung", 0, 10, ""),),
    ],
)
def test_a_plugin_with_wrong_windows_is_refused(register, windows):
    with pytest.raises(PluginError, match="window"):
        register("odd", {"windows": windows})


def test_windows_are_offered_for_their_unit_only(register):
    lung = WindowPreset("Lung", -600, 1500)
    manager = register("ct", {"windows": (lung, WindowPreset("Dose", 5, 10, "Gy"))})
    assert manager.window_presets("HU") == (lung,)
    assert manager.window_presets("") == ()
