"""Finds plugins by entry point, isolates broken ones, and collects what they contribute.

`VLMTOOL_PLUGINS=""` starts bare, `VLMTOOL_PLUGINS=medical,security` with a chosen set.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from vlmtool_core.errors import PluginError, RecordNotFoundError
from vlmtool_core.hooks import builtin, specs
from vlmtool_core.hooks.specs import API_VERSION, NAMESPACE, PluginInfo
from vlmtool_core.hooks.workflow import Workflow
from vlmtool_core.records import LabelSet

if TYPE_CHECKING:
    import click

ENTRY_POINT_GROUP = "vlmtool.plugins"
SELECTION_VARIABLE = "VLMTOOL_PLUGINS"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be loaded, and why; shown in the plugin list."""

    name: str
    distribution: str
    reason: str
    remedy: str = PluginError.default_remedy


class PluginManager:
    """The loaded plugins and what they contribute. A failing hook becomes a `PluginFailure`."""

    def __init__(self, candidates: Iterable[EntryPoint] | None = None) -> None:
        self._pluggy = pluggy.PluginManager(NAMESPACE)
        self._pluggy.add_hookspecs(specs)
        self.failures: list[PluginFailure] = []
        self.plugins: dict[str, PluginInfo] = {}
        self.register("builtin", builtin)
        for entry_point in candidates if candidates is not None else discover():
            self._load(entry_point)

    def _load(self, entry_point: EntryPoint) -> None:
        distribution = entry_point.dist.name if entry_point.dist else "?"
        try:
            self.register(entry_point.name, entry_point.load(), distribution)
        except Exception as error:
            log.exception("plugin %s cannot be loaded", entry_point.name)
            self._fail(entry_point.name, error, distribution)

    def register(self, name: str, plugin: ModuleType | object, distribution: str = "") -> None:
        """Add a plugin after checking that it speaks this version of the contract.

        Raises
        ------
        PluginError : it has no `plugin_info` or was made for another contract version.
        """
        info_hook = getattr(plugin, "plugin_info", None)
        info = info_hook() if info_hook is not None else None
        if not isinstance(info, PluginInfo):
            raise PluginError("has no plugin_info hook", path=distribution or name)
        if info.api_version != API_VERSION:
            raise PluginError(
                f"made for plugin contract {info.api_version}, this program speaks {API_VERSION}",
                path=distribution or name,
            )
        self._pluggy.register(plugin, name)
        self.plugins[name] = info

    def _fail(self, name: str, error: BaseException, distribution: str = "") -> None:
        reason = f"{type(error).__name__}: {error}"
        self.failures.append(PluginFailure(name, distribution, reason))

    def _collect(self, hook: str) -> list[tuple[str, Any]]:
        """Call `hook` on each plugin by itself, so that one failure hides nothing else."""
        results = []
        for name, plugin in self._pluggy.list_name_plugin():
            function = getattr(plugin, hook, None)
            if function is None:
                continue
            try:
                results.append((name, function()))
            except Exception as error:
                log.exception("plugin %s failed in %s", name, hook)
                self._fail(name, error)
        return results

    def label_sets(self) -> tuple[LabelSet, ...]:
        return tuple(s for _, sets in self._collect("register_label_sets") for s in sets)

    def prompts(self) -> Mapping[str, str]:
        merged: dict[str, str] = {}
        for _, prompts in self._collect("register_prompts"):
            merged.update(prompts)
        return merged

    def model_cards(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(c for _, cards in self._collect("register_model_cards") for c in cards)

    def workflows(self) -> tuple[Workflow, ...]:
        return tuple(w for _, flows in self._collect("register_workflows") for w in flows)

    def workflow(self, key: str) -> Workflow:
        """The workflow called `domain.id`.

        Raises
        ------
        RecordNotFoundError : no loaded plugin has it.
        """
        for workflow in self.workflows():
            if workflow.key == key:
                return workflow
        known = ", ".join(w.key for w in self.workflows()) or "none"
        raise RecordNotFoundError(f"no workflow {key!r}; there are: {known}")

    def commands(self) -> tuple[click.Command, ...]:
        return tuple(c for _, commands in self._collect("register_commands") for c in commands)

    def readers(self) -> tuple[Any, ...]:
        return tuple(r for _, readers in self._collect("register_readers") for r in readers)

    def exporters(self) -> tuple[Any, ...]:
        return tuple(e for _, exporters in self._collect("register_exporters") for e in exporters)


def discover() -> list[EntryPoint]:
    """The installed plugins, less those that `VLMTOOL_PLUGINS` leaves out."""
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)
    selection = os.environ.get(SELECTION_VARIABLE)
    if selection is None:
        return found
    chosen = {name.strip() for name in selection.split(",") if name.strip()}
    return [entry_point for entry_point in found if entry_point.name in chosen]


@cache
def plugin_manager() -> PluginManager:
    """The manager of this process."""
    return PluginManager()
