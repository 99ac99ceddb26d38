"""Runs a plugin's workflow: checks what was given, files the findings in the review queue."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.errors import VlmtoolError, WorkflowError
from vlmtool_core.hooks.values import check_inputs, check_regions, convert_values
from vlmtool_core.hooks.workflow import (
    EngineLike,
    ParameterKind,
    Workflow,
    WorkflowContext,
    WorkflowResult,
)
from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.records import Finding, Region

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project

log = logging.getLogger(__name__)


def run_workflow(
    project: Project | None,
    workflow: Workflow,
    inputs: Sequence[Path | str],
    values: Mapping[str, Any],
    regions: Sequence[Region] = (),
    *,
    output_dir: Path | None = None,
    engine: EngineLike | Callable[[], EngineLike] | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> WorkflowResult:
    """Run `workflow` over `inputs` and file its findings in the review queue of `project`.

    values : parameters by name, as typed or as JSON; left-out ones take their default
    output_dir : used when the workflow has no output parameter of its own
    engine : the engine, or a function that makes it; made on first use when None

    Raises
    ------
    UsageError : a parameter or region is wrong; `field` is its name.
    MediaNotFoundError : an input is not there.
    CancelledError : the workflow was stopped; what it had written is kept.
    WorkflowError : the workflow broke.
    """
    paths = check_inputs(workflow, inputs)
    checked = convert_values(workflow, values)
    context = WorkflowContext(
        inputs=paths,
        output_dir=output_folder(workflow, checked, output_dir, project),
        values=checked,
        engine=_lazy(engine),
        regions=check_regions(workflow, regions),
        progress=progress,
        cancel=cancel or CancelToken(),
    )
    result = _call(workflow, context)
    speaker = f"{workflow.key} {workflow.version}".strip()
    findings = tuple(
        finding if finding.model else dataclasses.replace(finding, model=speaker)
        for finding in result.findings
    )
    if project is not None and findings:
        findings = _file(project, workflow, findings)
    return dataclasses.replace(result, findings=findings)


def _call(workflow: Workflow, context: WorkflowContext) -> WorkflowResult:
    try:
        result = workflow.run(context)
    except VlmtoolError:
        raise
    except Exception as error:
        log.exception("workflow %s broke", workflow.key)
        raise WorkflowError(f"{workflow.key} broke: {type(error).__name__}: {error}") from error
    if not isinstance(result, WorkflowResult):
        raise WorkflowError(f"{workflow.key} gave {type(result).__name__}, expected WorkflowResult")
    return result


def output_folder(
    workflow: Workflow,
    values: Mapping[str, Any],
    chosen: Path | None = None,
    project: Project | None = None,
) -> Path:
    """Where the workflow writes: its output parameter's folder, else `chosen`, else a default."""
    by_kind = {
        parameter.kind: Path(values[parameter.name])
        for parameter in reversed(workflow.parameters)
        if values.get(parameter.name) is not None
        and parameter.kind in (ParameterKind.OUTPUT_FILE, ParameterKind.OUTPUT_FOLDER)
    }
    if ParameterKind.OUTPUT_FOLDER in by_kind:
        return by_kind[ParameterKind.OUTPUT_FOLDER]
    if ParameterKind.OUTPUT_FILE in by_kind:
        return by_kind[ParameterKind.OUTPUT_FILE].parent
    if chosen is not None:
        return chosen
    if project is not None:
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        return Path(project.root) / "documents" / f"{workflow.key}-{stamp}"
    return Path(f"{workflow.domain}-{workflow.id}-output")


def _lazy(engine: EngineLike | Callable[[], EngineLike] | None) -> Callable[[], EngineLike]:
    @cache
    def make() -> EngineLike:
        if engine is None:
            from vlmtool_core.engine.runtime.user_engine import engine_as_set

            made: EngineLike = engine_as_set()
            return made
        return engine() if callable(engine) else engine

    return make


def _file(project: Project, workflow: Workflow, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Add the findings to the review queue, each tied to its item where there is one."""
    find_item = ItemFinder(project)
    tied = [
        finding
        if finding.item_id is not None
        else dataclasses.replace(finding, item_id=find_item(Path(finding.path)))
        for finding in findings
    ]
    ids = project.add_findings(workflow.key, workflow.version, tied)
    return tuple(
        dataclasses.replace(finding, id=finding_id)
        for finding, finding_id in zip(tied, ids, strict=True)
    )


class ItemFinder:
    """The project's item for a file: by its place, else by its content."""

    def __init__(self, project: Project) -> None:
        self._by_path: dict[Path, int] = {}
        self._by_hash: dict[str, int] = {}
        self._known: dict[Path, int | None] = {}
        for ref in project.item_refs():
            if ref.item_id is None:
                continue
            for path in (ref.path, *ref.files):
                self._by_path.setdefault(path.resolve(), ref.item_id)
            if ref.sha256:
                self._by_hash.setdefault(ref.sha256, ref.item_id)

    def __call__(self, path: Path) -> int | None:
        """The item's id, None when the file is no item of the project."""
        path = path.resolve()
        if path not in self._known:
            self._known[path] = self._by_path.get(path) or self._by_content(path)
        return self._known[path]

    def _by_content(self, path: Path) -> int | None:
        from vlmtool_core.media.hashing import sha256_of

        return self._by_hash.get(sha256_of(path)) if path.is_file() else None
