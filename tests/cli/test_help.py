"""Every command has help, and the help pages name what exists."""

from __future__ import annotations

import importlib
import re

import click
import pytest

from vlmtool_core.cli.main import COMMANDS
from vlmtool_resources import files

HELP = files().joinpath("help", "en")


def _command(name: str) -> click.Command:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_parameters_have_help(name: str) -> None:
    command = _command(name)
    commands = list(command.commands.values()) if isinstance(command, click.Group) else []
    for each in [command, *commands]:
        assert (each.help or "").strip(), each.name
        options = [p for p in each.params if isinstance(p, click.Option)]
        assert all(option.help for option in options), each.name


@pytest.mark.parametrize("name", COMMANDS)
def test_one_line_help_is_short(name: str) -> None:
    line = COMMANDS[name][1]
    assert line.endswith(".")
    assert len(line) < 60


def _pages() -> dict[str, str]:
    return {
        page.name: page.read_text(encoding="utf-8")
        for page in HELP.iterdir()
        if page.name.endswith(".md")
    }


def test_links_between_help_pages_lead_somewhere() -> None:
    pages = _pages()
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", text):
            assert target in pages, f"{name} links to {target}"


def test_commands_named_in_help_pages_exist() -> None:
    known = {*COMMANDS, "medical", "education", "security"}
    for name, text in _pages().items():
        for command in re.findall(r"vlmtool-cli ([a-z]+)", text):
            assert command in known, f"{name} names {command}"
