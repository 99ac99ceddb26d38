"""`vlmtool-cli plugins`: what is installed, what each one brings, and why one failed."""

from __future__ import annotations

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.extensions import check_plugins, usable_exporters
from vlmtool_core.hooks.manager import PluginManager, plugin_manager


@click.command()
@click.option("as_json", "--json", is_flag=True, help="Print the list as JSON.")
def plugins(as_json: bool) -> int:
    """List plugins, what each one brings, and why one failed (exit code 1)."""
    manager = plugin_manager()
    check_plugins(manager)
    brings = _brings(manager)
    if as_json:
        emit_json(
            {
                "plugins": [
                    {
                        "name": name,
                        "title": info.title,
                        "version": info.version,
                        "licence": info.licence,
                        **brings[name],
                        "intended_use": info.intended_use,
                    }
                    for name, info in manager.plugins.items()
                ],
                "failures": [
                    {"name": f.name, "distribution": f.distribution, "reason": f.reason}
                    for f in manager.failures
                ],
            }
        )
    else:
        rows = [
            (name, info.version, "ok", _in_words(brings[name]))
            for name, info in manager.plugins.items()
        ]
        rows += [(f.name, "", "failed", f"{f.reason}. {f.remedy}") for f in manager.failures]
        emit_table("Plugins", ("plugin", "version", "state", "what it brings, or reason"), rows)
    return 1 if manager.failures else 0


def _brings(manager: PluginManager) -> dict[str, dict[str, list[str]]]:
    """Plugin -> kind of contribution -> names."""
    from vlmtool_core.engine.packs.plugin_cards import cards_by_plugin

    named = {
        "workflows": [(plugin, w.key) for plugin, w in manager.workflows_by_plugin()],
        "prompts": manager.prompts_by_plugin(),
        "readers": [(plugin, reader.name) for plugin, reader in manager.readers()],
        "formats": [(plugin, exporter.name) for plugin, exporter in usable_exporters(manager)],
        "models": [(plugin, card.id) for plugin, card in cards_by_plugin(manager)],
    }
    brings: dict[str, dict[str, list[str]]] = {
        name: {kind: [] for kind in named} for name in manager.plugins
    }
    for kind, pairs in named.items():
        for plugin, what in pairs:
            brings[plugin][kind].append(what)
    return brings


def _in_words(brings: dict[str, list[str]]) -> str:
    parts = [f"{kind}: {', '.join(names)}" for kind, names in brings.items() if names]
    return "; ".join(parts)
