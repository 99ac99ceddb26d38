"""Commands made from the workflows that plugins declare: `vlmtool-cli DOMAIN WORKFLOW ...`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from vlmtool_core.errors import FormatError, MediaNotFoundError, UsageError
from vlmtool_core.hooks.manager import PluginManager, plugin_manager
from vlmtool_core.hooks.workflow import (
    Parameter,
    ParameterKind,
    RegionSpec,
    Workflow,
    WorkflowResult,
)
from vlmtool_core.records import Label, Region

log = logging.getLogger(__name__)

EXIT_SOME_FAILED = 1
EXIT_CANCELLED = 130
MOST_DOCUMENTS = 12

PATH_KINDS = frozenset(
    {ParameterKind.INPUT_FILE, ParameterKind.OUTPUT_FILE, ParameterKind.OUTPUT_FOLDER}
)


def plugin_commands(manager: PluginManager | None = None) -> dict[str, click.Command]:
    """One group per domain with a command per workflow, and the commands that plugins bring.

    A plugin's own group with the name of a domain is merged into that domain's group.
    """
    manager = manager or plugin_manager()
    commands: dict[str, click.Command] = {}
    for workflow in manager.workflows():
        group = commands.get(workflow.domain)
        if not isinstance(group, click.Group):
            group = commands[workflow.domain] = click.Group(
                workflow.domain, help=f"Workflows for {workflow.domain}."
            )
        group.add_command(workflow_command(workflow))
    for command in manager.commands():
        _add(commands, command)
    return commands


def _add(commands: dict[str, click.Command], command: click.Command) -> None:
    present = commands.get(command.name or "")
    if isinstance(present, click.Group) and isinstance(command, click.Group):
        for inner in command.commands.values():
            if inner.name not in present.commands:
                present.add_command(inner)
            else:
                log.warning("command %s %s is already there", command.name, inner.name)
    elif command.name and present is None:
        commands[command.name] = command
    else:
        log.warning("command %s is already there", command.name)


def workflow_command(workflow: Workflow) -> click.Command:
    """The command of one workflow: inputs, then positional parameters, then options."""
    positional = [p for p in workflow.parameters if p.positional]
    options = [p for p in workflow.parameters if not p.positional]
    parameters: list[click.Parameter] = [
        click.Argument(
            ["inputs"],
            nargs=-1 if workflow.many_inputs else 1,
            required=True,
            metavar=workflow.inputs_name + ("..." if workflow.many_inputs else ""),
            type=click.Path(path_type=Path),
        ),
        *(_argument(parameter) for parameter in positional),
        *(_option(parameter) for parameter in options),
        *(_region_option(spec) for spec in workflow.regions),
        click.Option(
            ["--project"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="File the findings in the review queue of this project.",
        ),
        click.Option(["as_json", "--json"], is_flag=True, help="Print the result as JSON."),
    ]
    return click.Command(
        workflow.id,
        params=parameters,
        callback=_callback(workflow),
        help=workflow.summary,
        short_help=workflow.title,
        epilog=workflow.intended_use or None,
    )


def _argument(parameter: Parameter) -> click.Argument:
    return click.Argument(
        [parameter.name],
        required=parameter.required and parameter.default is None,
        metavar=parameter.name.upper().replace("_", "-"),
        type=_click_type(parameter),
    )


def _option(parameter: Parameter) -> click.Option:
    name = option_name(parameter.name)
    text = parameter.help if parameter.help.endswith(".") else f"{parameter.help}."
    if parameter.unit:
        text = f"{text[:-1]} ({parameter.unit})."
    if parameter.kind is ParameterKind.SWITCH:
        declaration = f"{name}/--no-{name[2:]}"
        return click.Option(
            [parameter.name, declaration], default=None, help=_with_default(parameter, text)
        )
    return click.Option(
        [parameter.name, name],
        required=parameter.required and parameter.default is None,
        type=_click_type(parameter),
        metavar=_metavar(parameter),
        help=_with_default(parameter, text),
    )


def _region_option(spec: RegionSpec) -> click.Option:
    return click.Option(
        [_region_key(spec), option_name(spec.role)],
        multiple=True,
        required=spec.minimum > 0,
        metavar='"X,Y X,Y ..."',
        help=f"{spec.help.removesuffix('.')} ({spec.shape}, points in pixels).",
    )


def option_name(name: str) -> str:
    """`min_gap` and `min-gap` are both the option `--min-gap`."""
    return "--" + name.replace("_", "-")


def _region_key(spec: RegionSpec) -> str:
    return "region_" + spec.role.replace("-", "_")


def _click_type(parameter: Parameter) -> click.ParamType[Any]:
    low, high = parameter.minimum, parameter.maximum
    if parameter.kind is ParameterKind.INTEGER:
        return click.IntRange(
            None if low is None else int(low), None if high is None else int(high)
        )
    if parameter.kind is ParameterKind.NUMBER:
        return click.FloatRange(low, high)
    if parameter.kind is ParameterKind.CHOICE:
        return click.Choice(parameter.choices)
    if parameter.kind in PATH_KINDS:
        return click.Path(path_type=Path)
    return click.STRING


def _metavar(parameter: Parameter) -> str | None:
    if parameter.kind is ParameterKind.LABELS:
        return "A,B,..."
    if parameter.kind is ParameterKind.OUTPUT_FOLDER:
        return "DIR"
    return "FILE" if parameter.kind in PATH_KINDS else None


def _with_default(parameter: Parameter, text: str) -> str:
    default = parameter.default
    if default is None or default == "":
        return text
    if parameter.kind is ParameterKind.SWITCH:
        default = "on" if default else "off"
    elif not isinstance(default, str) and parameter.kind is ParameterKind.LABELS:
        default = ", ".join(d.name if isinstance(d, Label) else str(d) for d in default)
    return f"{text}  [default: {default}]"


def _callback(workflow: Workflow) -> Callable[..., int]:
    def run(inputs: Any, project: Path | None, as_json: bool, **given: Any) -> int:
        paths = tuple(inputs) if workflow.many_inputs else (inputs,)
        regions = [
            parse_region(spec, text)
            for spec in workflow.regions
            for text in given.pop(_region_key(spec))
        ]
        return _run(workflow, paths, given, regions, project, as_json)

    return run


def parse_region(spec: RegionSpec, text: str) -> Region:
    """A region from `"X,Y X,Y ..."`.

    Raises
    ------
    UsageError : a point is not two numbers.
    """
    points = []
    for pair in text.replace(";", " ").split():
        try:
            x, y = (float(value) for value in pair.split(","))
        except ValueError as error:
            raise UsageError(
                f"expected points as X,Y separated by spaces, got {pair!r}",
                field=option_name(spec.role),
            ) from error
        points.append((x, y))
    return Region(spec.role, spec.shape, tuple(points))


def _run(
    workflow: Workflow,
    inputs: tuple[Path, ...],
    values: Mapping[str, Any],
    regions: list[Region],
    project_root: Path | None,
    as_json: bool,
) -> int:
    from contextlib import ExitStack

    from vlmtool_core.cli.console import progress_on_stderr
    from vlmtool_core.cli.interrupts import cancel_on_interrupt
    from vlmtool_core.project.workflows import run_workflow

    with ExitStack() as stack:
        project = None
        if project_root is not None:
            from vlmtool_core.project import Project

            project = stack.enter_context(Project.open(project_root))
        token = stack.enter_context(cancel_on_interrupt())
        progress = stack.enter_context(progress_on_stderr(workflow.title))
        try:
            result = run_workflow(
                project, workflow, inputs, values, regions, progress=progress, cancel=token
            )
        except (UsageError, MediaNotFoundError, FormatError) as error:
            # The library names parameters, the command line knows them as options.
            error.field = _as_option(workflow, error.field)
            raise
    _show(workflow, result, as_json=as_json, filed=project is not None)
    if token.cancelled:
        return EXIT_CANCELLED
    return EXIT_SOME_FAILED if result.failures else 0


def _as_option(workflow: Workflow, field: str | None) -> str | None:
    options = {p.name for p in workflow.parameters if not p.positional}
    options |= {spec.role for spec in workflow.regions}
    return option_name(field) if field in options else field


def _show(workflow: Workflow, result: WorkflowResult, *, as_json: bool, filed: bool) -> None:
    from vlmtool_core.cli.console import emit_json, emit_table, note
    from vlmtool_core.hooks.results import workflow_result_to_json

    if as_json:
        emit_json(workflow_result_to_json(workflow, result))
    else:
        click.echo(result.summary)
        if result.rows:
            emit_table(workflow.title, result.columns, result.rows)
        for document in result.documents[:MOST_DOCUMENTS]:
            click.echo(f"{document.title}: {document.path}")
        if len(result.documents) > MOST_DOCUMENTS:
            click.echo(f"and {len(result.documents) - MOST_DOCUMENTS} more files beside them")
        if filed and result.findings:
            click.echo(f"{len(result.findings)} findings are in the project's review queue.")
    for failure in result.failures:
        where = f"{failure.path}: " if failure.path else ""
        note(f"Failed: {where}{failure.message}")
        if failure.remedy:
            note(f"  What to do: {failure.remedy}")
