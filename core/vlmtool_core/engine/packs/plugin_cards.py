"""Model cards of plugins: checked field by field, and put beside the program's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vlmtool_core.engine.packs import builtin_packs, conversion
from vlmtool_core.engine.packs.pack import (
    PACK_FILE,
    Card,
    SourceFile,
    WheelSource,
    catalogue,
    check_id,
)
from vlmtool_core.errors import FormatError, VlmtoolError
from vlmtool_core.hooks.manager import PluginManager, plugin_manager
from vlmtool_core.json_codec import integer, mapping, required, sequence, text
from vlmtool_core.records import Json, Task

_FIELDS = frozenset(Card.__slots__)
_TEXTS = ("id", "title", "version", "family", "licence", "input", "converter")
_SOURCE_FIELDS = frozenset(WheelSource.__slots__) | {"kind"}
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,63}")


def all_cards(manager: PluginManager | None = None) -> dict[str, Card]:
    """The program's cards and the sound ones of plugins, by id.

    A card that cannot be used is listed as a failure of its plugin.
    """
    found = cards_by_plugin(manager or plugin_manager())
    return {**catalogue(), **{card.id: card for _, card in found}}


def cards_by_plugin(manager: PluginManager) -> tuple[tuple[str, Card], ...]:
    """The sound cards of plugins, each with the name of its plugin; see `all_cards`."""
    cards = dict(catalogue())
    own = {*cards, *builtin_packs.IDS, *(g for card in cards.values() for g in card.groups)}
    found = []
    for plugin, given in manager.model_cards():
        name = given.get("id")
        try:
            card = card_from_mapping(given)
            _check_names(card, own, cards)
        except VlmtoolError as error:
            manager.reject(plugin, f"model card {name!r}: {error}")
        else:
            cards[card.id] = card
            found.append((plugin, card))
    return tuple(found)


def _check_names(card: Card, own: set[str], cards: Mapping[str, Card]) -> None:
    taken = sorted({card.id, *card.groups} & own)
    if taken:
        raise FormatError(f"{', '.join(taken)}: these names are the program's own", field="id")
    names = {*cards, *(group for other in cards.values() for group in other.groups)}
    if card.id in names or not cards.keys().isdisjoint(card.groups):
        raise FormatError("there is already a pack or group of this name", field="id")


def card_from_mapping(given: Mapping[str, Any]) -> Card:
    """The card that a plugin declares; every field is checked.

    Raises
    ------
    FormatError : the field that is missing, unknown or wrong
    UsageError : the id cannot be the name of a folder
    """
    _refuse_unknown(given, _FIELDS, "")
    texts = {name: _filled(required(given, name), name) for name in _TEXTS}
    check_id(texts["id"])
    _match(texts["version"], _VERSION, "version", "a version")
    if not conversion.knows(texts["converter"]):
        raise FormatError(f"no converter {texts['converter']!r}", field="converter")
    tasks = sequence(required(given, "tasks"), "tasks", _task)
    return Card(
        **texts,
        tasks=tasks,
        download_bytes=integer(required(given, "download_bytes"), "download_bytes"),
        installed_bytes=integer(required(given, "installed_bytes"), "installed_bytes"),
        source=_source(mapping(required(given, "source"), "source")),
        groups=sequence(given.get("groups", ()), "groups", _filled),
        options=_options(mapping(given.get("options", {}), "options")),
    )


def _source(given: Mapping[str, Json]) -> WheelSource:
    _refuse_unknown(given, _SOURCE_FIELDS, "source.")
    if given.get("kind", "wheel") != "wheel":
        raise FormatError("expected wheel", field="source.kind")
    values = {
        name: _filled(required(given, name, "source"), f"source.{name}")
        for name in ("distribution", "version", "sha256")
    }
    _match(values["distribution"], _DISTRIBUTION, "source.distribution", "a distribution's name")
    _match(values["version"], _VERSION, "source.version", "a version")
    _match(values["sha256"], _SHA256, "source.sha256", "64 hexadecimal digits")
    files = sequence(required(given, "files", "source"), "source.files", _file)
    names = [file.name for file in files]
    if not files or len(set(names)) < len(names):
        raise FormatError("expected files with different names", field="source.files")
    licences = sequence(given.get("licence_files", ()), "source.licence_files", _filled)
    return WheelSource(**values, files=files, licence_files=licences)


def _file(value: Json, field: str) -> SourceFile:
    given = mapping(value, field)
    path, name, sha256 = (
        _filled(required(given, key, field), f"{field}.{key}") for key in ("path", "name", "sha256")
    )
    # The name becomes a file in the pack's folder and must not leave it.
    if not _FILE_NAME.fullmatch(name) or name == PACK_FILE:
        raise FormatError(f"expected a plain file name, got {name!r}", field=f"{field}.name")
    _match(sha256, _SHA256, f"{field}.sha256", "64 hexadecimal digits")
    return SourceFile(path, name, sha256)


def _options(given: Mapping[str, Json]) -> dict[str, Json]:
    """Options end in `pack.toml`, so they have to be what TOML can say."""
    import tomli_w

    try:
        tomli_w.dumps(dict(given))
    except (TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"cannot be written as TOML: {error}", field="options") from error
    return dict(given)


def _refuse_unknown(given: Mapping[str, Any], known: frozenset[str], prefix: str) -> None:
    for name in given:
        if name not in known:
            raise FormatError("no such field of a card", field=f"{prefix}{name}")


def _filled(value: Json, field: str) -> str:
    found = text(value, field)
    if not found.strip():
        raise FormatError("is empty", field=field)
    return found


def _match(value: str, pattern: re.Pattern[str], field: str, expected: str) -> None:
    if not pattern.fullmatch(value):
        raise FormatError(f"expected {expected}, got {value!r}", field=field)


def _task(value: Json, field: str) -> Task:
    try:
        return Task(text(value, field))
    except ValueError as error:
        raise FormatError(f"no task {value!r}", field=field) from error
