"""`vlmtool-cli plugins`: what is installed, what each one brings, and why one failed."""

from __future__ import annotations

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.hooks.manager import plugin_manager


@click.command()
@click.option("as_json", "--json", is_flag=True, help="Print the list as JSON.")
def plugins(as_json: bool) -> int:
    """List plugins, the workflows they bring, and why one failed (exit code 1)."""
    manager = plugin_manager()
    manager.load_contributions()
    by_plugin: dict[str, list[str]] = {name: [] for name in manager.plugins}
    for name, workflow in manager.workflows_by_plugin():
        by_plugin[name].append(workflow.key)
    if as_json:
        emit_json(
            {
                "plugins": [
                    {
                        "name": name,
                        "title": info.title,
                        "version": info.version,
                        "licence": info.licence,
                        "workflows": by_plugin[name],
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
            (name, info.version, "ok", ", ".join(by_plugin[name]))
            for name, info in manager.plugins.items()
        ]
        rows += [(f.name, "", "failed", f"{f.reason}. {f.remedy}") for f in manager.failures]
        emit_table("Plugins", ("plugin", "version", "state", "workflows or reason"), rows)
    return 1 if manager.failures else 0
