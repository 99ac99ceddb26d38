"""The whole plugin contract: eight hooks, all optional but the first, all returning data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from vlmtool_core.hooks.workflow import Workflow
from vlmtool_core.records import LabelSet, WindowPreset

if TYPE_CHECKING:
    import click

API_VERSION = 1
NAMESPACE = "vlmtool"

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@dataclass(frozen=True)
class PluginInfo:
    """`intended_use` is shown before first use and on every document the plugin writes.

    windows : presets for grey pictures with physical values (`MediaInfo.unit`)
    """

    name: str
    title: str
    version: str
    api_version: int
    intended_use: str = ""
    licence: str = "Apache-2.0"
    windows: tuple[WindowPreset, ...] = ()


@hookspec(firstresult=True)
def plugin_info() -> PluginInfo | None:
    """Who this is and which version of the contract it speaks."""


@hookspec
def register_readers() -> Iterable[Any]:
    """Readers for further kinds of media (`vlmtool_core.api.MediaReader`)."""
    return ()


@hookspec
def register_label_sets() -> Iterable[LabelSet]:
    """Named label sets with prompts and definitions."""
    return ()


@hookspec
def register_prompts() -> Mapping[str, str]:
    """Named prompts for caption and ask."""
    return {}


@hookspec
def register_model_cards() -> Iterable[Mapping[str, Any]]:
    """Entries for the model catalogue."""
    return ()


@hookspec
def register_workflows() -> Iterable[Workflow]:
    """Named jobs with parameters, regions and findings."""
    return ()


@hookspec
def register_exporters() -> Iterable[Any]:
    """Formats for export (`vlmtool_core.api.Exporter`)."""
    return ()


@hookspec
def register_commands() -> Iterable[click.Command]:
    """Further commands of `vlmtool-cli`."""
    return ()
