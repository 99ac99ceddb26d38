"""What is installed: model packs, plugins and the device, as the engine host tells it. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STARTER = "starter-vision"


@dataclass(frozen=True)
class PackLine:
    """An installed model pack."""

    id: str
    version: str
    title: str
    tasks: tuple[str, ...]
    size_bytes: int
    licence: str = ""


@dataclass(frozen=True)
class PluginLine:
    """A plugin, or why it could not be loaded."""

    name: str
    title: str
    version: str
    failure: str = ""


@dataclass(frozen=True)
class Installed:
    """All of it at once."""

    packs: tuple[PackLine, ...] = ()
    plugins: tuple[PluginLine, ...] = ()
    device: str = ""

    @property
    def has_starter(self) -> bool:
        return any(pack.id == STARTER for pack in self.packs)

    def models_for(self, task: str) -> list[PackLine]:
        return [pack for pack in self.packs if task in pack.tasks]

    def pack_lines(self) -> list[str]:
        return [" · ".join([f"{p.id} {p.version}", *_tasks(p)]) for p in self.packs]

    def plugin_lines(self) -> list[str]:
        return [
            f"{p.title or p.name}: {p.failure}" if p.failure else f"{p.title} {p.version}"
            for p in self.plugins
        ]


def _tasks(pack: PackLine) -> list[str]:
    return [", ".join(pack.tasks)] if pack.tasks else []


def packs_from_json(value: Any) -> tuple[PackLine, ...]:
    """The packs in the host's answer to `models`."""
    rows: Sequence[Mapping[str, Any]] = value.get("packs", ())
    return tuple(
        PackLine(
            str(row["id"]),
            str(row.get("version", "")),
            str(row.get("title", "")),
            tuple(str(task) for task in row.get("tasks", ())),
            int(row.get("size_bytes", 0)),
            str(row.get("licence", "")),
        )
        for row in rows
    )


def read_plugins() -> tuple[PluginLine, ...]:
    """Loaded plugins and failures; imports the plugins, so it runs in a thread."""
    from vlmtool_core.extensions import check_plugins
    from vlmtool_core.hooks.manager import plugin_manager

    manager = plugin_manager()
    check_plugins(manager)
    lines = [
        PluginLine(name, info.title, info.version)
        for name, info in manager.plugins.items()
        if name != "builtin"
    ]
    lines += [PluginLine(f.name, "", "", f.reason) for f in manager.failures]
    return tuple(lines)
