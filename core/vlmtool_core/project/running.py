"""Runs in a project: which model and labels, which run goes on, and predictions of one frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vlmtool_core.batch.ledger import Ledger
from vlmtool_core.batch.project_ledger import ProjectLedger
from vlmtool_core.batch.report import RunReport
from vlmtool_core.batch.runner import run_items, with_run
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.batch.turns import Rank
from vlmtool_core.errors import UsageError
from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.project.model_versions import ACTIVE, resolve_model
from vlmtool_core.records import ItemRef, MediaKind, ModelIdentity, ResultRow, Task

if TYPE_CHECKING:
    from vlmtool_core.batch.executors import Executor
    from vlmtool_core.engine import Engine
    from vlmtool_core.project.facade import Project
    from vlmtool_core.store.records import PredictionRecord


def resolve_spec(project: Project, spec: RunSpec) -> RunSpec:
    """The spec with everything filled in that the project decides.

    A classification without model and labels uses the active version; where there is none, it
    sorts into the project's label set, and without labels into the model's own classes. "v3" and
    "active" become the pack and the trained head that they name.

    Raises
    ------
    RecordNotFoundError : no version of that number.
    UsageError : a trained version is asked for something else than to classify.
    """
    if spec.head is not None:
        return spec
    name = spec.model
    if name is None and spec.task is Task.CLASSIFY and not spec.labels:
        name = ACTIVE
    pack, head, version = resolve_model(project, name)
    if head is not None and pack is not None and version is not None:
        if spec.task not in (Task.CLASSIFY, Task.EMBED):
            raise UsageError(
                f"{version} was trained to classify, not to {spec.task}",
                field="model",
                remedy="Name a pack: vlmtool-cli models list",
            )
        if spec.task is Task.CLASSIFY:
            return replace(spec.with_head(pack, head, version), labels=())
    spec = replace(spec, model=pack)
    if spec.task is Task.CLASSIFY and not spec.labels:
        labels = project.label_set()
        spec = replace(spec, labels=labels.labels, exclusive=labels.exclusive)
    return spec


def run_project(
    project: Project,
    spec: RunSpec,
    *,
    item_ids: Sequence[int] | None = None,
    engine: Engine | None = None,
    resume: bool = True,
    retry_failed: bool = False,
    limit: int | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    on_rows: Callable[[Sequence[ResultRow]], None] | None = None,
    executor: Executor | None = None,
) -> RunReport:
    """Run `spec` over the project's items (or some of them) and store the predictions.

    The same spec with the same model goes on with its newest run: an interrupted one is
    finished, a finished one grows by the items that are new. A new run begins when `resume` is
    False, or when the content of an item has changed since: predictions are never rewritten.

    Raises
    ------
    RecordNotFoundError : no such item or version.
    MissingError, PackError, TaskNotServedError, UsageError, StorageError
    """
    engine = engine or _engine()
    spec = resolve_spec(project, spec)
    items = items_to_run(project, item_ids, limit)
    run_id = _run_of(project, spec, _identity(engine, spec), items, resume=resume)
    ledger: Ledger = ProjectLedger(project.store, run_id, items)
    report = run_items(
        items,
        spec,
        engine=engine,
        ledger=ledger,
        progress=progress,
        cancel=cancel,
        retry_failed=retry_failed,
        on_rows=on_rows,
        executor=executor,
    )
    return with_run(report, run_id)


def items_to_run(
    project: Project, item_ids: Sequence[int] | None = None, limit: int | None = None
) -> list[ItemRef]:
    """Items by name (or as listed), unreadable ones too: they fail with their reason."""
    ids = list(item_ids) if item_ids is not None else project.item_ids()
    ids = ids[:limit]
    readable = {ref.item_id: ref for ref in project.item_refs(ids)}
    lost = [item_id for item_id in ids if item_id not in readable]
    for record in project.store.items.by_ids(lost):
        kind = record.kind or MediaKind.IMAGE
        ref = ItemRef(record.name, record.path, kind, record.sha256, item_id=record.id)
        readable[record.id] = ref
    return [readable[item_id] for item_id in dict.fromkeys(ids)]


def rows_of_run(
    project: Project, run_id: int, items: Sequence[ItemRef] | None = None
) -> Iterator[ResultRow]:
    """The table of a run, in the order of the items and then by frame."""
    items = items if items is not None else items_to_run(project)
    return ProjectLedger(project.store, run_id, items).rows(items)


def predict_frame(
    project: Project,
    spec: RunSpec,
    item_id: int,
    frame: int,
    *,
    engine: Engine,
    rank: Rank = Rank.LOOK,
) -> list[PredictionRecord]:
    """Predict one frame that somebody looks at, before any run that is under way.

    rank : AHEAD where it may be looked at next, and others go first

    The prediction joins the newest run of this spec, and is made only if it is not there yet.

    Raises
    ------
    RecordNotFoundError : no such item.
    MissingError, PackError, TaskNotServedError, UsageError, StorageError
    """
    from vlmtool_core.batch.single import predict_one

    spec = resolve_spec(project, spec)
    items = items_to_run(project, [item_id])
    model = _identity(engine, spec)
    run_id = _run_of(project, spec, model, items, resume=True)
    ledger = ProjectLedger(project.store, run_id, items)
    before = ledger.finished().get(items[0].item, ())
    if frame not in {done.frame for done in before}:
        ledger.record([predict_one(items[0], frame, spec, engine=engine, model=model, rank=rank)])
    return project.predictions(item_id, frame=frame, run_id=run_id, newest_only=False)


def _identity(engine: Engine, spec: RunSpec) -> ModelIdentity:
    from vlmtool_core.batch.predict import Predictor

    return Predictor(engine, spec).identity()


def _run_of(
    project: Project,
    spec: RunSpec,
    model: ModelIdentity,
    items: Sequence[ItemRef],
    *,
    resume: bool,
) -> int:
    """The run that goes on, else a new one."""
    runs = project.store.runs
    if resume and (run := runs.find(spec.fingerprint(), model)) is not None:
        contents = {item.item_id: item.sha256 for item in items if item.sha256}
        frames = runs.frames(run.id)
        if all(contents.get(f.item_id, f.sha256) == f.sha256 for f in frames):
            return run.id
    return runs.start(spec.task, model, spec.to_json(), spec.fingerprint())


def _engine() -> Engine:
    from vlmtool_core.engine.runtime.user_engine import engine_as_set

    return engine_as_set()
