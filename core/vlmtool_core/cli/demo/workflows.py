"""The demo's last steps: every installed workflow on the sample it brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.cli.console import progress_on_stderr
from vlmtool_core.engine import Engine
from vlmtool_core.hooks.manager import plugin_manager
from vlmtool_core.hooks.workflow import WorkflowSample
from vlmtool_core.project import Project
from vlmtool_core.project.workflows import run_workflow

if TYPE_CHECKING:
    from vlmtool_core.cli.demo.steps import Demo


def lay_out_samples(folder: Path) -> dict[str, WorkflowSample]:
    """Make the sample of every workflow below `folder/<domain>-<id>`."""
    samples = {}
    for workflow in plugin_manager().workflows():
        if workflow.sample is not None:
            target = folder / f"{workflow.domain}-{workflow.id}"
            target.mkdir(parents=True, exist_ok=True)
            samples[workflow.key] = workflow.sample(target)
    return samples


def run_all(
    demo: Demo, project: Project, engine: Engine, samples: dict[str, WorkflowSample]
) -> None:
    """Run each workflow; its findings land in the project's review queue."""
    number = len(demo.sections)
    for workflow in plugin_manager().workflows():
        if workflow.key not in samples:
            continue
        number += 1
        sample = samples[workflow.key]
        with demo.step(f"{number}. Workflow: {workflow.title}") as section:
            with progress_on_stderr(workflow.key) as progress:
                result = run_workflow(
                    project,
                    workflow,
                    sample.inputs,
                    sample.values,
                    (),
                    output_dir=demo.out / f"{workflow.domain}-{workflow.id}",
                    engine=lambda: engine,
                    progress=progress,
                )
            section.note = f"{result.summary} {len(result.findings)} findings to review."
            section.columns = result.columns
            section.rows = list(result.rows)
            section.documents = [
                (document.title, document.path.resolve().relative_to(demo.out).as_posix())
                for document in result.documents
                if document.path.resolve().is_relative_to(demo.out)
            ]
