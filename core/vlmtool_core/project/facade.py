"""`Project`: the one object that the window, the command line and plugins drive.

Thin by intent: each method hands over to the store or to a module of its topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.measurement import Measurement
from vlmtool_core.project.places import create_in, is_project, open_in
from vlmtool_core.project.records import AddReport, ProjectInfo
from vlmtool_core.records import Box, Finding, FindingStatus, ItemRef, LabelSet, Task
from vlmtool_core.store.database import BUSY_TIMEOUT_S
from vlmtool_core.store.findings import Correction
from vlmtool_core.store.records import (
    AnnotationChanges,
    AnnotationRecord,
    HistoryEntry,
    ItemQuery,
    ItemRecord,
    NewAnnotation,
    PredictionRecord,
    RunRecord,
)
from vlmtool_core.store.repository import Store

if TYPE_CHECKING:
    from vlmtool_core.batch import RunReport, RunSpec
    from vlmtool_core.batch.executors import Executor
    from vlmtool_core.engine import Engine
    from vlmtool_core.records import ResultRow
    from vlmtool_core.training.records import (
        ComparisonReport,
        CurveCallback,
        ModelVersion,
        TrainReport,
        TrainSettings,
    )

_EVERYTHING = ItemQuery()


class Project:
    """A folder with `project.sqlite` (or `project.toml`, which names a database on a server),
    backups and trained heads; media are only referenced."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.store = store

    @classmethod
    def create(
        cls, root: Path | str, *, name: str = "", author: str | None = None,
        database: str | None = None,
    ) -> Project:  # fmt: skip
        """Make a project in `root` (made too, if it is not there).

        database : URL of an empty PostgreSQL database for its records, without a password

        Raises
        ------
        ProjectExistsError : there is one already
        StorageError : the folder cannot be written to, or the server does not answer
        """
        folder = Path(root).absolute()
        store = create_in(folder, author, database)
        store.settings.put("name", name or folder.name)
        store.audit.append("project.created", {"name": name or folder.name})
        return cls(folder, store)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        author: str | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> Project:
        """Open a project, checked, and brought up to date after a backup.

        Raises
        ------
        ProjectNotFoundError, CorruptProjectError, NewerProjectError, ProjectBusyError
        """
        folder = Path(root).absolute()
        return cls(folder, open_in(folder, author, busy_timeout_s=busy_timeout_s))

    @staticmethod
    def is_project(root: Path | str) -> bool:
        """Whether the folder holds a project."""
        return is_project(Path(root))

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        return str(self.store.settings.get("name", self.root.name))

    @property
    def read_only(self) -> bool:
        """True when the project lies on a disk that cannot be written to."""
        return self.store.read_only

    def info(self) -> ProjectInfo:
        from vlmtool_core.project.overview import project_info

        return project_info(self)

    def backup(self) -> Path:
        """Copy the database into the project's backups folder; returns the copy."""
        from vlmtool_core.project.overview import backup_project

        return backup_project(self)

    # items

    def add(
        self,
        paths: Sequence[Path | str],
        *,
        group_by: str | None = None,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> AddReport:
        """Take in everything under `paths`; media are referenced, never copied.

        group_by : "folder", "patient", or a regular expression matched on the name whose group
            (the one called "group", else its only one) is the item's group

        Raises
        ------
        UsageError, MediaNotFoundError, CancelledError (what was taken in stays)
        """
        from vlmtool_core.project.adding import add_paths

        return add_paths(
            self, [Path(p) for p in paths], group_by, progress, cancel or CancelToken()
        )

    def items(
        self, query: ItemQuery = _EVERYTHING, *, offset: int = 0, limit: int | None = None
    ) -> list[ItemRecord]:
        return self.store.items.page(query, offset=offset, limit=limit)

    def item_ids(self, query: ItemQuery = _EVERYTHING) -> list[int]:
        """Ids of everything that fits `query`, in its order: one fast query."""
        return self.store.items.ids(query)

    def count(self, query: ItemQuery = _EVERYTHING) -> int:
        return self.store.items.count(query)

    def item(self, item_id: int) -> ItemRecord:
        """`RecordNotFoundError` when there is no such item."""
        return self.store.items.get(item_id)

    def find_item(self, name: str) -> ItemRecord:
        """The item called `name`, else the one at that path; `RecordNotFoundError` if none."""
        from vlmtool_core.project.overview import find_item

        return find_item(self, name)

    def item_refs(self, item_ids: Sequence[int] | None = None) -> list[ItemRef]:
        """The readable items (of `item_ids`), to run over."""
        return self.store.items.refs(item_ids)

    def groups(self) -> list[str]:
        return self.store.items.groups()

    # labels

    def label_set(self) -> LabelSet:
        return self.store.labels.get()

    def set_label_set(self, label_set: LabelSet) -> None:
        """Replace the label set; annotations keep labels that are no longer in it."""
        self.store.labels.replace(label_set)
        self.store.audit.append(
            "labels.set", {"name": label_set.name, "labels": [x.name for x in label_set.labels]}
        )

    def ensure_labels(self, names: Iterable[str]) -> None:
        self.store.labels.ensure(names)

    # annotations: each call is one undoable step

    def annotations(
        self, item_id: int | None = None, *, frame: int | None = None
    ) -> list[AnnotationRecord]:
        return self.store.annotations.find(item_id, frame=frame)

    def set_label(self, item_ids: Sequence[int], label: str | None, *, frame: int = 0) -> int:
        """Label items (None takes their labels away); returns how many changed."""
        return self.store.annotations.set_labels(dict.fromkeys(item_ids, label), frame=frame)

    def add_box(self, item_id: int, frame: int, box: Box) -> int:
        return self.store.annotations.add([NewAnnotation(item_id, frame, "box", box=box)])[0]

    def add_text(self, item_id: int, frame: int, text: str, label: str = "") -> int:
        new = NewAnnotation(item_id, frame, "text", label, text=text)
        return self.store.annotations.add([new])[0]

    def add_measurement(self, item_id: int, frame: int, measurement: Measurement) -> int:
        """Keep a measurement beside the annotations; neither training nor labels count it."""
        new = NewAnnotation(item_id, frame, "measurement", measurement=measurement)
        return self.store.annotations.add([new], description=f"measure: {measurement.kind}")[0]

    def update_annotation(self, annotation_id: int, **changes: Unpack[AnnotationChanges]) -> None:
        """`label`, `box`, `text` or `measurement`: what is given is changed."""
        self.store.annotations.update(annotation_id, **changes)

    def delete_annotations(self, ids: Sequence[int]) -> int:
        return self.store.annotations.delete(ids)

    def undo(self) -> str | None:
        """Take the newest step back; returns what was undone, None if there was nothing."""
        return self.store.steps.undo()

    def redo(self) -> str | None:
        """Do the step undone last again; returns it, None if there was nothing."""
        return self.store.steps.redo()

    def can_undo(self) -> bool:
        return self.store.steps.can_undo()

    def can_redo(self) -> bool:
        return self.store.steps.can_redo()

    def history(self, limit: int = 50) -> list[HistoryEntry]:
        """The newest steps, newest first."""
        return self.store.steps.history(limit)

    # predictions and findings

    def runs(self) -> list[RunRecord]:
        return self.store.runs.all()

    def predictions(
        self,
        item_id: int,
        *,
        frame: int | None = None,
        task: Task | None = None,
        run_id: int | None = None,
        newest_only: bool = True,
    ) -> list[PredictionRecord]:
        return self.store.runs.of_item(
            item_id, frame=frame, task=task, run_id=run_id, newest_only=newest_only
        )

    def decide_predictions(
        self,
        ids: Sequence[int],
        status: FindingStatus,
        *,
        label: str | None = None,
        boxes: Sequence[Box] | None = None,
        text: str | None = None,
    ) -> int:
        """Accept, reject, edit or reopen predictions; accepting makes annotations. One step."""
        correction = Correction(label, None if boxes is None else tuple(boxes), text)
        return self.store.findings.decide_predictions(ids, status, correction)

    def add_findings(
        self, workflow_key: str, version: str, findings: Sequence[Finding]
    ) -> list[int]:
        return self.store.findings.add(workflow_key, version, findings)

    def findings(
        self, *, status: FindingStatus | None = None, workflow: str | None = None, offset: int = 0,
        limit: int | None = None,
    ) -> list[Finding]:  # fmt: skip
        return self.store.findings.find(
            status=status, workflow=workflow, offset=offset, limit=limit
        )

    def count_findings(self, status: FindingStatus | None = None) -> int:
        return self.store.findings.count(status=status)

    def decide_findings(
        self, ids: Sequence[int], status: FindingStatus, *, label: str | None = None, note: str = ""
    ) -> int:
        return self.store.findings.decide(ids, status, label=label, note=note)

    # running and learning

    def run(
        self,
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
        """Run a model over items and store its predictions; resumes an interrupted run."""
        from vlmtool_core.project.running import run_project

        return run_project(
            self,
            spec,
            item_ids=item_ids,
            engine=engine,
            resume=resume,
            retry_failed=retry_failed,
            limit=limit,
            progress=progress,
            cancel=cancel or CancelToken(),
            on_rows=on_rows,
            executor=executor,
        )

    def train(
        self,
        settings: TrainSettings | None = None,
        *,
        engine: Engine | None = None,
        progress: ProgressCallback = no_progress,
        on_curve: CurveCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> TrainReport:
        """Learn from the labels; the new version becomes active if it is not worse."""
        from vlmtool_core.project import learning
        from vlmtool_core.training.records import no_curve

        return learning.train(
            self,
            settings,
            engine=engine,
            progress=progress,
            on_curve=on_curve or no_curve,
            cancel=cancel,
        )

    def evaluate(
        self,
        models: Sequence[str],
        *,
        engine: Engine | None = None,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> ComparisonReport:
        """Models ("v2", "active", a pack's id) on the same hold-out, compared with the first."""
        from vlmtool_core.project import learning

        return learning.evaluate(self, models, engine=engine, progress=progress, cancel=cancel)

    def versions(self) -> list[ModelVersion]:
        """Every model version, oldest first."""
        from vlmtool_core.project import model_versions

        return model_versions.versions(self)

    def active_version(self, task: Task = Task.CLASSIFY) -> ModelVersion | None:
        """The model version in use, None while it is the plain pack."""
        from vlmtool_core.project import model_versions

        return model_versions.active_version(self, task)

    def use_version(self, number: int, *, force: bool = False) -> ModelVersion:
        """Make a version the active one; `GateRefusedError` if it was worse, unless `force`."""
        from vlmtool_core.project import model_versions

        return model_versions.use_version(self, number, force=force)

    def rollback(self, task: Task = Task.CLASSIFY) -> ModelVersion | None:
        """Go back to what was active before; None when that is the plain pack."""
        from vlmtool_core.project import model_versions

        return model_versions.rollback(self, task)
