"""Finds plugins by entry point, isolates broken ones, and collects what they contribute.

`VLMTOOL_PLUGINS=""` starts bare, `VLMTOOL_PLUGINS=medical,security` with a chosen set.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from vlmtool_core.contributions import Exporter, MediaReader
from vlmtool_core.errors import PluginError, RecordNotFoundError
from vlmtool_core.hooks import builtin, specs
from vlmtool_core.hooks.declaration import (
    declaration_problems,
    exporter_problems,
    reader_problems,
    window_problems,
)
from vlmtool_core.hooks.specs import API_VERSION, NAMESPACE, PluginInfo
from vlmtool_core.hooks.workflow import Workflow
from vlmtool_core.records import LabelSet, WindowPreset

if TYPE_CHECKING:
    import click

ENTRY_POINT_GROUP = "vlmtool.plugins"
SELECTION_VARIABLE = "VLMTOOL_PLUGINS"

T = TypeVar("T")

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
        self._collected: dict[str, tuple[tuple[str, Any], ...]] = {}
        self.failures: list[PluginFailure] = []
        self.plugins: dict[str, PluginInfo] = {}
        self.register("builtin", builtin)
        for entry_point in candidates if candidates is not None else discover():
            self._load(entry_point)

    def _load(self, entry_point: EntryPoint) -> None:
        distribution = entry_point.dist.name if entry_point.dist else "?"
        try:
            self.register(entry_point.name, entry_point.load(), distribution)
        except (Exception, SystemExit) as error:
            log.exception("plugin %s cannot be loaded", entry_point.name)
            self._fail(entry_point.name, error, distribution)

    def register(self, name: str, plugin: ModuleType | object, distribution: str = "") -> None:
        """Add a plugin after checking that it speaks this version of the contract.

        Raises
        ------
        PluginError : it has no `plugin_info`, was made for another contract version, or has a
            hook of the wrong form.
        """
        info_hook = getattr(plugin, "plugin_info", None)
        info = info_hook() if callable(info_hook) else None
        if not isinstance(info, PluginInfo):
            raise PluginError("has no plugin_info hook", path=distribution or name)
        if info.api_version != API_VERSION:
            raise PluginError(
                f"made for plugin contract {info.api_version}, this program speaks {API_VERSION}",
                path=distribution or name,
            )
        if problems := window_problems(info.windows):
            raise PluginError("; ".join(problems), path=distribution or name)
        try:
            self._pluggy.register(plugin, name)
        except pluggy.PluginValidationError as error:
            # pluggy has already noted the name when it finds the bad hook.
            self._pluggy.unregister(name=name)
            raise PluginError(str(error), path=distribution or name) from error
        except ValueError as error:
            raise PluginError("is registered already", path=distribution or name) from error
        self.plugins[name] = info
        self._collected.clear()

    def reject(self, name: str, problem: str) -> None:
        """List a contribution of plugin `name` that cannot be used; the rest of it stays."""
        self._fail(name, PluginError(problem))

    def _fail(self, name: str, error: BaseException, distribution: str = "") -> None:
        reason = f"{type(error).__name__}: {error}"
        failure = PluginFailure(name, distribution, reason)
        if failure not in self.failures:
            self.failures.append(failure)

    def _collect(
        self, hook: str, unpack: Callable[[Any], Iterable[T]]
    ) -> tuple[tuple[str, T], ...]:
        """Call `hook` on each plugin by itself, so that one failure hides nothing else.

        `unpack` checks what the plugin gave; what it raises counts as the plugin's failure.
        """
        if hook not in self._collected:
            results: list[tuple[str, Any]] = []
            for name, plugin in self._pluggy.list_name_plugin():
                function = getattr(plugin, hook, None)
                if plugin is None or not callable(function):
                    continue
                try:
                    results += [(name, entry) for entry in unpack(function())]
                except Exception as error:
                    log.exception("plugin %s failed in %s", name, hook)
                    self._fail(name, error)
            self._collected[hook] = tuple(results)
        return self._collected[hook]

    def label_sets(self) -> tuple[LabelSet, ...]:
        return tuple(s for _, s in self._collect("register_label_sets", _all_of(LabelSet)))

    def window_presets(self, unit: str) -> tuple[WindowPreset, ...]:
        """Presets of all plugins for values in `unit`; none for a unit that nobody knows."""
        presets = (preset for info in self.plugins.values() for preset in info.windows)
        return tuple(preset for preset in presets if unit and preset.unit == unit)

    def prompts(self) -> Mapping[str, str]:
        """Text by name; the first of each name."""
        return {name: text for name, (_, text) in self._named_prompts().items()}

    def _named_prompts(self) -> dict[str, tuple[str, str]]:
        def pairs(given: Mapping[str, str]) -> list[tuple[str, str]]:
            for text in (*given.keys(), *given.values()):
                if not isinstance(text, str) or not text.strip():
                    raise PluginError(f"expected names and texts of prompts, got {text!r}")
            return list(given.items())

        found: dict[str, tuple[str, str]] = {}
        for plugin, (name, text) in self._collect("register_prompts", pairs):
            if name in found:
                self.reject(plugin, f"there is already a prompt {name!r}")
                continue
            found[name] = (plugin, text)
        return found

    def prompts_by_plugin(self) -> tuple[tuple[str, str], ...]:
        """(plugin, name of the prompt)."""
        return tuple((plugin, name) for name, (plugin, _) in self._named_prompts().items())

    def model_cards(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        """(plugin, card as it was given); `engine.plugin_cards` checks what is in it."""
        return self._collect("register_model_cards", _mappings)

    def workflows(self) -> tuple[Workflow, ...]:
        """The workflows whose declaration is sound, the first one of each key."""
        return tuple(workflow for _, workflow in self.workflows_by_plugin())

    def workflows_by_plugin(self) -> tuple[tuple[str, Workflow], ...]:
        """Like `workflows`, each with the name of its plugin."""
        workflows: dict[str, tuple[str, Workflow]] = {}
        for name, workflow in self._collect("register_workflows", list):
            problems = declaration_problems(workflow)
            if not problems and workflow.key in workflows:
                problems = [f"there is already a workflow {workflow.key}"]
            if problems:
                self.reject(name, "; ".join(problems))
                continue
            info = self.plugins[name]
            completed = dataclasses.replace(
                workflow,
                version=workflow.version or info.version,
                intended_use=workflow.intended_use or info.intended_use,
            )
            workflows[workflow.key] = (name, completed)
        return tuple(workflows.values())

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
        import click

        return tuple(c for _, c in self._collect("register_commands", _all_of(click.Command)))

    def load_contributions(self) -> None:
        """Call every hook of every plugin; `extensions.check_plugins` also uses what they gave."""
        for collect in (
            self.label_sets,
            self.prompts,
            self.model_cards,
            self.workflows,
            self.commands,
            self.readers,
            self.exporters,
        ):
            collect()

    def readers(self) -> tuple[tuple[str, MediaReader], ...]:
        """(plugin, reader), the first of each name."""
        return self._named("register_readers", "reader", reader_problems)

    def exporters(self) -> tuple[tuple[str, Exporter], ...]:
        """(plugin, format for export), the first of each name."""
        return self._named("register_exporters", "exporter", exporter_problems)

    def _named(
        self, hook: str, word: str, problems_of: Callable[[object], list[str]]
    ) -> tuple[tuple[str, Any], ...]:
        """The sound contributions to `hook`; those that are not are listed as failures."""
        found: dict[str, tuple[str, Any]] = {}
        for plugin, given in self._collect(hook, list):
            problems = problems_of(given)
            if not problems and given.name in found:
                problems = [f"there is already a {word} {given.name}"]
            if problems:
                self.reject(plugin, "; ".join(problems))
                continue
            found[given.name] = (plugin, given)
        return tuple(found.values())


def _mappings(given: Iterable[Any]) -> list[Mapping[str, Any]]:
    entries = list(given)
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise PluginError(f"expected a mapping, got {type(entry).__name__}")
    return entries


def _all_of(kind: type[T]) -> Callable[[Iterable[Any]], list[T]]:
    def unpack(given: Iterable[Any]) -> list[T]:
        entries = list(given)
        for entry in entries:
            if not isinstance(entry, kind):
                raise PluginError(f"expected {kind.__name__}, got {type(entry).__name__}")
        return entries

    return unpack


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
