"""All formats that can be written, by name: the built-in ones and those of plugins.

Whoever starts a process says with `use` where plugins' formats come from; see `extensions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from vlmtool_core.contributions import Exporter
from vlmtool_core.errors import PluginError, UsageError, VlmtoolError
from vlmtool_core.formats import coco, csv_format, jsonl
from vlmtool_core.formats.records import AnnotationRow
from vlmtool_core.records import ResultRow

Provider = Callable[[], Sequence[tuple[str, Exporter]]]
Row = TypeVar("Row")
Writer = Callable[[Iterable[Row], Sequence[str]], Iterator[str]]

BUILT_IN: dict[str, Exporter] = {
    known.name: known
    for known in (
        Exporter(
            "jsonl",
            "JSON Lines",
            ".jsonl",
            lambda rows, _labels: jsonl.write_results(rows),
            lambda rows, _labels: jsonl.write_annotations(rows),
        ),
        Exporter(
            "csv",
            "Table",
            ".csv",
            lambda rows, _labels: csv_format.write_results(rows),
            lambda rows, _labels: csv_format.write_annotations(rows),
        ),
        Exporter("coco", "COCO", ".json", coco.write_results, coco.write_annotations),
    )
}
_OTHER_ENDINGS = {".ndjson": "jsonl"}


def _none() -> Sequence[tuple[str, Exporter]]:
    return ()


_provider: Provider = _none


def use(provider: Provider | None) -> None:
    """Ask `provider` for (plugin, exporter) pairs from now on; None: built-in formats only."""
    global _provider
    _provider = provider or _none


def _all() -> dict[str, tuple[str, Exporter]]:
    """Name -> (plugin or "", exporter); what is built in cannot be replaced."""
    found = {name: ("", known) for name, known in BUILT_IN.items()}
    for plugin, given in _provider():
        found.setdefault(given.name, (plugin, given))
    return found


def exporter(name: str) -> Exporter:
    """The format called `name`.

    Raises
    ------
    UsageError : there is none.
    """
    return _find(name)[1]


def _find(name: str) -> tuple[str, Exporter]:
    if name in BUILT_IN:
        return "", BUILT_IN[name]
    known = _all()
    if name not in known:
        raise UsageError(f"no format {name!r}; there are: {', '.join(known)}", field="format")
    return known[name]


def format_of_ending(suffix: str) -> str | None:
    """The format that a file's extension means, if any."""
    suffix = suffix.lower()
    endings: dict[str, str] = {}
    for name, (_, known) in _all().items():
        endings.setdefault(known.extension, name)
    return (_OTHER_ENDINGS | endings).get(suffix)


def write_results(
    name: str, rows: Iterable[ResultRow], labels: Sequence[str] = ()
) -> Iterator[str]:
    """Results as pieces of text, in order; `labels` fixes COCO's categories.

    Raises
    ------
    UsageError : no such format, or one for annotations only
    PluginError : a plugin's format failed
    """
    plugin, found = _find(name)
    return _write(plugin, found, found.write_results, "results", rows, labels)


def write_annotations(
    name: str, rows: Iterable[AnnotationRow], labels: Sequence[str] = ()
) -> Iterator[str]:
    """Annotations as pieces of text, in order; `labels` fixes COCO's categories.

    Raises
    ------
    UsageError : no such format, or one for results only
    PluginError : a plugin's format failed
    """
    plugin, found = _find(name)
    return _write(plugin, found, found.write_annotations, "annotations", rows, labels)


def _write(
    plugin: str,
    found: Exporter,
    writer: Writer[Row] | None,
    what: str,
    rows: Iterable[Row],
    labels: Sequence[str],
) -> Iterator[str]:
    if writer is None:
        raise UsageError(f"the format {found.name} has no {what}", field="format")
    if not plugin:
        return writer(rows, labels)
    return _blamed(plugin, found.name, writer, rows, labels)


def _blamed(
    plugin: str, name: str, writer: Writer[Row], rows: Iterable[Row], labels: Sequence[str]
) -> Iterator[str]:
    """The pieces of a plugin's format; what goes wrong in it is an error that names it."""
    who = f"the format {name!r} of plugin {plugin!r}"
    try:
        for piece in writer(rows, labels):
            yield _checked(piece, who)
    except VlmtoolError:
        raise
    except Exception as error:
        raise PluginError(f"{who} failed: {type(error).__name__}: {error}") from error


def _checked(piece: object, who: str) -> str:
    if not isinstance(piece, str):
        raise PluginError(f"{who} gave {type(piece).__name__}, expected text")
    return piece
