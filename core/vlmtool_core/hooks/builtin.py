"""What the program itself contributes, through the same hooks as any plugin."""

from __future__ import annotations

from vlmtool_core import __version__
from vlmtool_core.hooks.specs import API_VERSION, PluginInfo, hookimpl
from vlmtool_core.records import Label, LabelSet


@hookimpl
def plugin_info() -> PluginInfo:
    return PluginInfo("builtin", "vlmtool", __version__, API_VERSION)


@hookimpl
def register_label_sets() -> tuple[LabelSet, ...]:
    scene = LabelSet(
        "scene",
        (
            Label("indoors", ("a room", "the inside of a building")),
            Label("street", ("a street with traffic", "a road in a town")),
            Label("nature", ("a landscape", "trees, water or mountains")),
            Label("document", ("a page of text", "a printed form")),
        ),
    )
    return (scene,)


@hookimpl
def register_prompts() -> dict[str, str]:
    return {"describe": "Describe the picture in one sentence."}
