"""The whole plugin contract: eight hooks, all optional but the first, all returning data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from vlmtool_core.contributions import Exporter, MediaReader
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
def register_readers() -> Iterable[MediaReader]:
    """Readers for further kinds of files."""
    return ()


@hookspec
def register_label_sets() -> Iterable[LabelSet]:
    """Named label sets with prompts and definitions."""
    return ()


@hookspec
def register_prompts() -> Mapping[str, str]:
    """Named prompts: what `run --prompt NAME` and `--question NAME` stand for."""
    return {}


@hookspec
def register_model_cards() -> Iterable[Mapping[str, Any]]:
    """Entries for the model catalogue, with the fields of the program's own cards.

    A card names a pinned wheel with the SHA-256 of every file, and a family and a converter of
    the program: id, title, version, family, tasks, licence, input, download_bytes,
    installed_bytes, converter, groups?, options?, source {kind "wheel", distribution, version,
    sha256, licence_files, files [{path, name, sha256}]}.
    """
    return ()


@hookspec
def register_workflows() -> Iterable[Workflow]:
    """Named jobs with parameters, regions and findings."""
    return ()


@hookspec
def register_exporters() -> Iterable[Exporter]:
    """Formats to write results and annotations in."""
    return ()


@hookspec
def register_commands() -> Iterable[click.Command]:
    """Further commands of `vlmtool-cli`."""
    return ()
