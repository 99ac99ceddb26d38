"""Checks and converts what a user gave for a workflow: inputs, parameter values, regions.

Each error names the parameter (`field`), so that a form or a command line can point at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmtool_core.errors import MediaNotFoundError, UsageError
from vlmtool_core.hooks.workflow import Parameter, ParameterKind, RegionSpec, Workflow
from vlmtool_core.records import Label, Region

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_POINTS_NEEDED = {"box": (2, 2), "line": (2, None), "polygon": (3, None)}


def check_inputs(workflow: Workflow, inputs: Sequence[Path | str]) -> tuple[Path, ...]:
    """The inputs as paths.

    Raises
    ------
    UsageError : none are given, or several where one is expected.
    MediaNotFoundError : one of them is not there.
    """
    paths = tuple(Path(path) for path in inputs)
    if not paths:
        raise UsageError("no input is given", field=workflow.inputs_name)
    if len(paths) > 1 and not workflow.many_inputs:
        raise UsageError(f"expected one input, got {len(paths)}", field=workflow.inputs_name)
    for path in paths:
        if not _exists(path):
            raise MediaNotFoundError("there is no such file", path=path, field=workflow.inputs_name)
    return paths


def convert_values(workflow: Workflow, values: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of `workflow` with its checked value, defaults filled in.

    Raises
    ------
    UsageError : an unknown name, a missing required one, a wrong type, range or choice.
    MediaNotFoundError : an input file is not there.
    """
    known = {parameter.name for parameter in workflow.parameters}
    for name in values:
        if name not in known:
            raise UsageError(f"{workflow.key} has no parameter of this name", field=name)
    return {p.name: convert_value(p, values.get(p.name)) for p in workflow.parameters}


def convert_value(parameter: Parameter, value: Any) -> Any:
    """One value, checked and of the type that `ParameterKind` promises; see `convert_values`."""
    if value is None or (isinstance(value, str) and not value.strip()):
        value = parameter.default
    if value is None:
        if parameter.required:
            raise UsageError("a value is required", field=parameter.name)
        return None
    return _CONVERTERS[parameter.kind](parameter, value)


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(parameter, "text", value)
    return value


def _integer(parameter: Parameter, value: Any) -> int:
    number = _number(parameter, value, "a whole number")
    if number != int(number):
        raise _wrong(parameter, "a whole number", value)
    return int(number)


def _number(parameter: Parameter, value: Any, expected: str = "a number") -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(parameter, expected, value) from error
    if not math.isfinite(number):
        raise _wrong(parameter, expected, value)
    low, high = parameter.minimum, parameter.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise _wrong(parameter, describe_range(parameter), value)
    return number


def _switch(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold()
    if word not in _TRUE | _FALSE:
        raise _wrong(parameter, "yes or no", value)
    return word in _TRUE


def _choice(parameter: Parameter, value: Any) -> str:
    if value not in parameter.choices:
        raise _wrong(parameter, "one of " + ", ".join(parameter.choices), value)
    return str(value)


def _path(parameter: Parameter, value: Any) -> Path:
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise _wrong(parameter, "a path", value)
    return Path(value).expanduser()


def _input_file(parameter: Parameter, value: Any) -> Path:
    path = _path(parameter, value)
    if not _exists(path):
        raise MediaNotFoundError("there is no such file", path=path, field=parameter.name)
    return path


def _output_file(parameter: Parameter, value: Any) -> Path:
    path = _path(parameter, value)
    if path.is_dir():
        raise UsageError("is a folder, expected a file", path=path, field=parameter.name)
    return path


def _output_folder(parameter: Parameter, value: Any) -> Path:
    path = _path(parameter, value)
    if path.exists() and not path.is_dir():
        raise UsageError("is a file, expected a folder", path=path, field=parameter.name)
    return path


def _labels(parameter: Parameter, value: Any) -> tuple[Label, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence):
        raise _wrong(parameter, "label names separated by commas", value)
    labels: dict[str, Label] = {}
    for part in parts:
        label = part if isinstance(part, Label) else Label(str(part).strip())
        if label.name:
            labels.setdefault(label.name, label)
    if not labels:
        raise _wrong(parameter, "label names separated by commas", value)
    return tuple(labels.values())


_CONVERTERS: Mapping[ParameterKind, Callable[[Parameter, Any], Any]] = {
    ParameterKind.TEXT: _text,
    ParameterKind.INTEGER: _integer,
    ParameterKind.NUMBER: _number,
    ParameterKind.SWITCH: _switch,
    ParameterKind.CHOICE: _choice,
    ParameterKind.INPUT_FILE: _input_file,
    ParameterKind.OUTPUT_FILE: _output_file,
    ParameterKind.OUTPUT_FOLDER: _output_folder,
    ParameterKind.LABELS: _labels,
}


def describe_range(parameter: Parameter) -> str:
    """`1 to 5 s`, `at least 1`, `at most 9`, or nothing when any number will do."""
    low, high = parameter.minimum, parameter.maximum
    unit = f" {parameter.unit}" if parameter.unit else ""
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    if low is not None:
        return f"at least {low:g}{unit}"
    return "" if high is None else f"at most {high:g}{unit}"


def check_regions(workflow: Workflow, regions: Sequence[Region]) -> tuple[Region, ...]:
    """The regions, each of a declared role and shape and as many as asked for.

    Raises
    ------
    UsageError : an unknown role, a wrong shape, too few or many regions, or bad points.
    """
    specs = {spec.role: spec for spec in workflow.regions}
    for region in regions:
        if region.role not in specs:
            raise UsageError(f"{workflow.key} has no region of this name", field=region.role)
        _check_points(region, specs[region.role])
    for spec in workflow.regions:
        count = sum(region.role == spec.role for region in regions)
        if not spec.minimum <= count <= spec.maximum:
            raise UsageError(
                f"expected {spec.minimum} to {spec.maximum} regions, got {count}", field=spec.role
            )
    return tuple(regions)


def _check_points(region: Region, spec: RegionSpec) -> None:
    if region.shape != spec.shape:
        raise UsageError(f"expected a {spec.shape}, got a {region.shape}", field=region.role)
    least, most = _POINTS_NEEDED[spec.shape]
    count = len(region.points)
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if most else f"at least {least}"
        raise UsageError(f"a {spec.shape} needs {wanted} points, got {count}", field=region.role)
    if not all(math.isfinite(value) for point in region.points for value in point):
        raise UsageError("a point is not a finite number", field=region.role)


def _wrong(parameter: Parameter, expected: str, value: Any) -> UsageError:
    return UsageError(f"expected {expected}, got {value!r}", field=parameter.name)


def _exists(path: Path) -> bool:
    try:
        return "\0" not in str(path) and path.exists()
    except OSError:
        # A name longer than the file system takes cannot be there.
        return False
