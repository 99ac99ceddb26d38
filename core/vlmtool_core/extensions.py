"""Hands what plugins contribute to those who use it but may not know of plugins."""

from __future__ import annotations

from collections.abc import Sequence

from vlmtool_core.contributions import Exporter, MediaReader
from vlmtool_core.formats import exporters
from vlmtool_core.hooks.manager import PluginManager, plugin_manager
from vlmtool_core.media import readers


def connect_plugins() -> None:
    """Let media and formats ask the plugins; called once where a process starts.

    No plugin is imported before a file or a format is not one of the built-in ones.
    """
    readers.use(_readers, connect=f"{__name__}:{connect_plugins.__name__}")
    exporters.use(_exporters)


def check_plugins(manager: PluginManager) -> None:
    """Look at everything that plugins contribute, so that `manager.failures` is complete."""
    from vlmtool_core.engine.packs.plugin_cards import all_cards

    manager.load_contributions()
    usable_exporters(manager)
    all_cards(manager)


def usable_exporters(manager: PluginManager) -> tuple[tuple[str, Exporter], ...]:
    """The (plugin, format) pairs whose names are not those of built-in formats."""
    usable = []
    for plugin, given in manager.exporters():
        if given.name in exporters.BUILT_IN:
            manager.reject(plugin, f"exporter {given.name}: this format is the program's own")
        else:
            usable.append((plugin, given))
    return tuple(usable)


def _readers() -> Sequence[tuple[str, MediaReader]]:
    return plugin_manager().readers()


def _exporters() -> Sequence[tuple[str, Exporter]]:
    return usable_exporters(plugin_manager())
