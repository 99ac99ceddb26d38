"""Checks a workflow's declaration when its plugin is loaded, before a form is made of it."""

from __future__ import annotations

import re

from vlmtool_core.hooks.workflow import Parameter, ParameterKind, RegionSpec, Workflow

SHAPES = ("box", "polygon", "line")
RESERVED_NAMES = frozenset({"project", "json", "help", "inputs", "debug"})

_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
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
