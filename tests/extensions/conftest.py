"""A plugin that contributes to every hook, as the only one beside what is built in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.extensions.grey_files import GREY

from vlmtool_core import extensions
from vlmtool_core.api import API_VERSION, PluginInfo
from vlmtool_core.formats import exporters
from vlmtool_core.hooks.manager import PluginManager
from vlmtool_core.media import readers

Register = Callable[..., PluginManager]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginManager]:
    """The process's plugin manager, without plugins, connected as a process does it."""
    found = PluginManager([])
    for module in ("hooks.manager", "extensions", "engine.packs.plugin_cards", "cli.plugins"):
        monkeypatch.setattr(f"vlmtool_core.{module}.plugin_manager", lambda: found)
    extensions.connect_plugins()
    # Its plugins are only in this process: a decoder process could not find them. That it finds
    # installed ones is tested in test_installed.py.
    readers.use(extensions._readers)
    yield found
    readers.use(None)
    exporters.use(None)


@pytest.fixture
def register(manager: PluginManager) -> Register:
    """Register a plugin with these hooks: `register(name, register_readers=[...])`."""

    def add(name: str = "fake", info: dict[str, Any] | None = None, **hooks: Any) -> PluginManager:
        given = PluginInfo(name, name, "1", API_VERSION, **(info or {}))
        functions = {hook: lambda value=value: value for hook, value in hooks.items()}
        manager.register(name, SimpleNamespace(plugin_info=lambda: given, **functions))
        return manager

    return add


@pytest.fixture
def grey_plugin(register: Register) -> PluginManager:
    return register(register_readers=[GREY])


def reasons(manager: PluginManager) -> str:
    return "\n".join(f"{f.name}: {f.reason}" for f in manager.failures)
