"""`vlmtool-cli run`: one task with one model over a file, a folder or a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlmtool_core.batch import RunReport, RunSpec
from vlmtool_core.batch.executors import Executor, executor_for
from vlmtool_core.cli.console import progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.cli.run_labels import labels_given, labels_of_sets
from vlmtool_core.cli.run_output import (
    check_format,
    emit_results,
    note_report,
    note_unused_prompt,
)
from vlmtool_core.cli.run_prompts import FORMS_OF_ANSWERS, prompt_and_question
from vlmtool_core.engine.texts.answers import answer_shape
from vlmtool_core.errors import CancelledError, UsageError
from vlmtool_core.jobs import CancelToken, ProgressCallback
from vlmtool_core.records import RUN_TASKS, ItemRef, LabelSet, ResultRow, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine
    from vlmtool_core.project import Project

PROJECT_FILES = ("project.sqlite", "project.toml")
SOME_FAILED = 1


@dataclass(frozen=True)
class _Options:
    """What was typed, beside the spec."""

    path: Path
    limit: int | None
    resume: bool
    retry_failed: bool
    executor: Executor


@dataclass(frozen=True)
class _Finished:
    report: RunReport
    rows: Callable[[], Iterable[ResultRow]]


_RUN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("path", type=click.Path(path_type=Path)),
    click.option(
        "--task",
        required=True,
        type=click.Choice([str(task) for task in RUN_TASKS]),
        help="What the model is to do.",
    ),
    click.option("--labels", help='Labels to classify or detect, as "cat,dog,bird".'),
    click.option(
        "--label-set",
        "label_sets",
        multiple=True,
        metavar="NAME",
        help="A label set by name: of the project, or of a plugin. Several at once: one label "
        "of each set holds.",
    ),
    click.option(
        "--exclusive/--any",
        "exclusive",
        default=None,
        help="Exactly one label holds for a picture, or any number of them.",
    ),
    click.option("--question", help="What to ask of each picture (task ask)."),
    click.option("--answer", metavar="FORM", help=FORMS_OF_ANSWERS),
    click.option(
        "--prompt",
        metavar="TEXT|NAME",
        help="How to describe (task caption) or to read (task read), for models that follow it; "
        "the question of task ask. A text, or the name of a prompt that `vlmtool-cli plugins` "
        "lists.",
    ),
    click.option("--model", help="A model pack's id; in a project also v1, v2, ... or active."),
    click.option("--threshold", type=float, help="Least score of a label or box, 0 to 1."),
    click.option(
        "--frames",
        type=click.Choice(["first", "every", "all"]),
        default="every",
        show_default=True,
        help="The first frame; a sample of series and videos; or all frames.",
    ),
    click.option(
        "--sample-s",
        type=float,
        default=2.0,
        show_default=True,
        help="Seconds between two frames of a video.",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Only the first N items."),
    click.option(
        "--resume/--no-resume",
        default=True,
        help="Go on where an interrupted run stopped (default), or start anew.",
    ),
    click.option("--retry-failed", is_flag=True, help="Try again what failed before."),
    click.option(
        "--executor",
        default="local",
        show_default=True,
        metavar="NAME",
        help="Where the work is done: local, processes[:N] (of this machine) or ray[:ADDRESS] "
        "(of several). The results are the same.",
    ),
    click.option("--out", type=click.Path(path_type=Path), help="Write the results here."),
    click.option(
        "--format",
        "format_",
        metavar="NAME",
        help="jsonl, csv, coco, or one of a plugin; by default from the ending of --out, "
        "else jsonl.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
)


def _with_options(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_RUN_OPTIONS):
        function = option(function)
    return function


@click.command()
@_with_options
def run(
    path: Path,
    out: Path | None,
    format_: str | None,
    as_json: bool,
    limit: int | None,
    resume: bool,
    retry_failed: bool,
    executor: str,
    **values: Any,
) -> int:
    """Run a model over PATH: a file, a folder, or a project.

    Results go to stdout or --out, one row per frame; progress and failures to stderr. An
    interrupted run goes on where it stopped when the same command is given again.

    Exit codes: 0 all well, 1 some items failed, 2 wrong call, 3 a model or library is missing,
    130 stopped.
    """
    check_format(out, format_)
    options = _Options(path, limit, resume, retry_failed, executor_for(executor))
    project = _project_at(path)
    try:
        spec = _spec(values, project)
        with cancel_on_interrupt() as cancel, progress_on_stderr(f"{spec.task} {path.name}") as p:
            if project is not None:
                finished = _run_project(project, spec, options, p, cancel)
            else:
                finished = _run_folder(spec, options, p, cancel)
        if finished.report.cancelled:
            note_report(finished.report)
            raise CancelledError("stopped; the frames that are done are kept")
        emit_results(finished.report, finished.rows, out=out, format_=format_, as_json=as_json)
        note_report(finished.report)
        if spec.prompt is not None:
            note_unused_prompt(finished.rows())
    finally:
        if project is not None:
            project.close()
    return SOME_FAILED if finished.report.failed else 0


def _project_at(path: Path) -> Project | None:
    if not any((path / name).is_file() for name in PROJECT_FILES):
        return None
    from vlmtool_core.project import Project

    return Project.open(path)


def _spec(values: dict[str, Any], project: Project | None) -> RunSpec:
    task = Task(values["task"])
    known = project.label_set() if project is not None else None
    labels = _labels(values, known)
    if labels is not None and task not in (Task.CLASSIFY, Task.DETECT):
        raise UsageError(f"labels have no meaning for {task}", field="--labels")
    prompt, question = prompt_and_question(task, values["prompt"], values["question"])
    exclusive = values["exclusive"]
    if exclusive is None:
        exclusive = labels.exclusive if labels is not None else True
    return RunSpec(
        task,
        model=values["model"],
        labels=labels.labels if labels is not None else (),
        exclusive=exclusive,
        question=question,
        prompt=prompt,
        answer=None if values["answer"] is None else answer_shape(values["answer"]),
        threshold=values["threshold"],
        frames=values["frames"],
        sample_s=values["sample_s"],
    )


def _labels(values: dict[str, Any], known: LabelSet | None) -> LabelSet | None:
    text, names = values["labels"], values["label_sets"]
    if text is not None and names:
        raise UsageError("name either labels or a label set, not both", field="--labels")
    if text is not None:
        return labels_given(text, known)
    return labels_of_sets(names, known, values["exclusive"]) if names else None


def _run_project(
    project: Project,
    spec: RunSpec,
    options: _Options,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> _Finished:
    from vlmtool_core.project.running import items_to_run, rows_of_run

    ids = project.item_ids()[: options.limit]
    if not ids:
        raise UsageError(
            "the project has no items",
            path=options.path,
            remedy=f"Add some: vlmtool-cli add {options.path} PATH",
        )
    report = project.run(
        spec,
        item_ids=ids,
        resume=options.resume,
        retry_failed=options.retry_failed,
        executor=options.executor,
        progress=progress,
        cancel=cancel,
    )

    def rows() -> Iterable[ResultRow]:
        assert report.run_id is not None
        return rows_of_run(project, report.run_id, items_to_run(project, ids))

    return _Finished(report, rows)


def _run_folder(
    spec: RunSpec, options: _Options, progress: ProgressCallback, cancel: CancelToken
) -> _Finished:
    from vlmtool_core.batch.folder import items_of

    _refuse_versions(spec)
    items = items_of(options.path, cancel=cancel)[: options.limit]
    return _run_items(items, spec, options, progress, cancel)


def _refuse_versions(spec: RunSpec) -> None:
    name = spec.model or ""
    if name == "active" or (name[:1] in {"v", "V"} and name[1:].isdecimal()):
        raise UsageError(
            f"{name} is a version of a project, and PATH is no project",
            field="--model",
            remedy="Name the project's folder, or a pack: vlmtool-cli models list",
        )


def _run_items(
    items: Sequence[ItemRef],
    spec: RunSpec,
    options: _Options,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> _Finished:
    from vlmtool_core.batch import FolderLedger, run_items
    from vlmtool_core.batch.predict import Predictor

    engine = _engine()
    model = Predictor(engine, spec).identity()
    ledger = FolderLedger.for_input(options.path, spec, model)
    click.get_current_context().call_on_close(ledger.close)
    report = run_items(
        items,
        spec,
        engine=engine,
        ledger=ledger,
        progress=progress,
        cancel=cancel,
        resume=options.resume,
        retry_failed=options.retry_failed,
        executor=options.executor,
    )
    return _Finished(report, lambda: ledger.rows(items))


def _engine() -> Engine:
    from vlmtool_core.engine.runtime.user_engine import engine_as_set

    return engine_as_set()
