"""`vlmtool-cli plugins`, and the commands of plugins that are there, broken or left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = {
    "raises_on_import": "raise RuntimeError('licence file not found')",
    "wrong_version": """
from vlmtool_core.hooks.specs import PluginInfo
def plugin_info(): return PluginInfo('wrong_version', 'Wrong', '1', 99)
""",
    "hook_raises": """
from vlmtool_core.hooks.specs import API_VERSION, PluginInfo
def plugin_info(): return PluginInfo('hook_raises', 'Raises', '1', API_VERSION)
def register_workflows(): raise KeyError('no table')
""",
}


def cli(*arguments: str, path: Path | None = None, **environment: str):
    """The real program in a process of its own, with the distributions in `path` as well."""
    variables = {**os.environ, **environment}
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    command = [sys.executable, "-m", "vlmtool_core.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables)


@pytest.fixture
def broken_plugins(tmp_path: Path) -> Path:
    """A folder with three installed distributions that each break in their own way."""
    folder = tmp_path / "site"
    for name, source in BROKEN.items():
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[vlmtool.plugins]\n{name} = {name}\n")
    return folder


def test_broken_plugins_are_listed_with_their_reasons_and_the_rest_works(broken_plugins: Path):
    result = cli("plugins", "--json", path=broken_plugins)
    assert result.returncode == 1
    document = json.loads(result.stdout)
    reasons = {f["name"]: (f["distribution"], f["reason"]) for f in document["failures"]}
    assert "licence file not found" in reasons["raises_on_import"][1]
    assert reasons["raises_on_import"][0] == "raises_on_import"
    assert "contract 99" in reasons["wrong_version"][1]
    assert "no table" in reasons["hook_raises"][1]
    loaded = {plugin["name"]: plugin for plugin in document["plugins"]}
    assert "security.triage" in loaded["security"]["workflows"]
    assert loaded["security"]["intended_use"]
    help_page = cli("security", "--help", path=broken_plugins)
    assert help_page.returncode == 0
    assert "triage" in help_page.stdout
    assert "Traceback" not in help_page.stderr


def test_bare_start_without_any_plugin():
    result = cli("plugins", "--json", VLMTOOL_PLUGINS="")
    assert result.returncode == 0
    document = json.loads(result.stdout)
    assert [plugin["name"] for plugin in document["plugins"]] == ["builtin"]
    assert document["failures"] == []
    result = cli("security", "--help", VLMTOOL_PLUGINS="")
    assert result.returncode == 2
    assert "No such command" in result.stderr


def test_a_chosen_plugin_by_itself():
    document = json.loads(cli("plugins", "--json", VLMTOOL_PLUGINS="security").stdout)
    assert [plugin["name"] for plugin in document["plugins"]] == ["builtin", "security"]


def test_the_table_names_each_plugin():
    result = cli("plugins")
    lines = result.stdout.splitlines()
    assert lines[0] == "# Plugins"
    assert lines[1].split("\t") == ["plugin", "version", "state", "what it brings, or reason"]
    assert result.returncode == 0
    assert any(line.startswith("security\t") and "security.triage" in line for line in lines)
