"""Checks what plugins declare when they are loaded, before anything is made of it."""

from __future__ import annotations

import math
import re

from vlmtool_core.contributions import Exporter, MediaReader
from vlmtool_core.hooks.workflow import Parameter, ParameterKind, RegionSpec, Workflow
from vlmtool_core.records import MediaKind, WindowPreset

SHAPES = ("box", "polygon", "line")
RESERVED_NAMES = frozenset({"project", "json", "help", "inputs", "debug"})

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_EXTENSION = re.compile(r"(\.[a-z0-9]+)+")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def declaration_problems(workflow: object) -> list[str]:
    """What is wrong with the declaration, as sentences; empty when it can be used."""
    if not isinstance(workflow, Workflow):
        return [f"register_workflows gave {type(workflow).__name__}, expected Workflow"]
    problems = [
        f"{word} {value!r} must be lower-case words joined by hyphens"
        for word, value in (("id", workflow.id), ("domain", workflow.domain))
        if not _SLUG.fullmatch(value)
    ]
    if not callable(workflow.run):
        problems.append("run is not callable")
    for parameter in workflow.parameters:
        problems += _parameter_problems(parameter)
    for region in workflow.regions:
        problems += _region_problems(region)
    names = [p.name for p in workflow.parameters]
    names += [r.role.replace("-", "_") for r in workflow.regions]
    problems += [
        f"{name!r} is declared twice" for name in sorted(set(names)) if names.count(name) > 1
    ]
    return [f"workflow {workflow.domain}.{workflow.id}: {problem}" for problem in problems]


def _parameter_problems(parameter: Parameter) -> list[str]:
    name = parameter.name
    problems = []
    if not _NAME.fullmatch(name):
        problems.append(f"parameter {name!r} must be lower-case words joined by underscores")
    if name in RESERVED_NAMES:
        problems.append(f"parameter {name!r} is a name of the program's own")
    if parameter.kind is ParameterKind.CHOICE:
        if not parameter.choices:
            problems.append(f"parameter {name!r} has no choices")
        elif parameter.default is not None and parameter.default not in parameter.choices:
            problems.append(f"parameter {name!r}: default {parameter.default!r} is not a choice")
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None and low > high:
        problems.append(f"parameter {name!r}: minimum {low} is above maximum {high}")
    return problems


def _region_problems(region: RegionSpec) -> list[str]:
    problems = []
    if not _SLUG.fullmatch(region.role):
        problems.append(f"region {region.role!r} must be lower-case words joined by hyphens")
    if region.role in RESERVED_NAMES:
        problems.append(f"region {region.role!r} is a name of the program's own")
    if region.shape not in SHAPES:
        problems.append(f"region {region.role!r}: shape {region.shape!r} is none of {SHAPES}")
    if not 0 <= region.minimum <= region.maximum:
        problems.append(f"region {region.role!r}: expected 0 <= minimum <= maximum")
    return problems


def window_problems(windows: object) -> list[str]:
    """What is wrong with a plugin's named windows, as sentences; empty when they can be used."""
    if not isinstance(windows, tuple) or not all(isinstance(w, WindowPreset) for w in windows):
        return ["windows must be a tuple of WindowPreset"]
    return [
        f"window {w.name!r} must have a name, a unit, a center and a width above 0"
        for w in windows
        if not (
            isinstance(w.name, str)
            and isinstance(w.unit, str)
            and w.name.strip()
            and w.unit.strip()
            and all(isinstance(v, int | float) and math.isfinite(v) for v in (w.center, w.width))
            and w.width > 0
        )
    ]


def reader_problems(reader: object) -> list[str]:
    """What is wrong with a reader of media, as sentences; empty when it can be used."""
    if not isinstance(reader, MediaReader):
        return [f"register_readers gave {type(reader).__name__}, expected MediaReader"]
    problems = _slug_problems(reader.name)
    # One text in place of a tuple would be read letter by letter.
    if not isinstance(reader.extensions, tuple) or not reader.extensions:
        problems.append("extensions must be a tuple with at least one extension")
    else:
        problems += [p for e in reader.extensions for p in _extension_problems(e)]
    problems += [
        f"{word} is not callable"
        for word, value in (("sniff", reader.sniff), ("open", reader.open))
        if not callable(value)
    ]
    if reader.kind not in (MediaKind.IMAGE, MediaKind.DICOM, MediaKind.VOLUME):
        problems.append(f"kind {reader.kind!r} must be image, dicom or volume")
    return [f"reader {reader.name}: {problem}" for problem in problems]


def exporter_problems(exporter: object) -> list[str]:
    """What is wrong with a format for export, as sentences; empty when it can be used."""
    if not isinstance(exporter, Exporter):
        return [f"register_exporters gave {type(exporter).__name__}, expected Exporter"]
    problems = _slug_problems(exporter.name) + _extension_problems(exporter.extension)
    writers = [w for w in (exporter.write_results, exporter.write_annotations) if w is not None]
    if not writers:
        problems.append("writes neither results nor annotations")
    elif not all(callable(writer) for writer in writers):
        problems.append("a writer is not callable")
    return [f"exporter {exporter.name}: {problem}" for problem in problems]


def _slug_problems(name: object) -> list[str]:
    if isinstance(name, str) and _SLUG.fullmatch(name):
        return []
    return [f"name {name!r} must be lower-case words joined by hyphens"]


def _extension_problems(extension: object) -> list[str]:
    if isinstance(extension, str) and _EXTENSION.fullmatch(extension):
        return []
    return [f"extension {extension!r} must be like '.abc', in lower case"]
