"""Training in a project: from a person's labels to a proven, numbered model version."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlmtool_core import __version__
from vlmtool_core.errors import (
    CancelledError,
    MissingPackError,
    PackError,
    TaskNotServedError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.project.learning_data import LabelledData, LabelledItem, Sides, collect, divide
from vlmtool_core.project.model_predictions import Machinery, Predictions, compare_on_holdout
from vlmtool_core.project.model_versions import (
    ACTIVE,
    activate,
    active_version,
    as_version,
    find_version,
    resolve_model,
    version_number,
)
from vlmtool_core.project.version_facts import head_of, metric_records, probe_facts, summary
from vlmtool_core.records import ErrorInfo, Json, Label, Task
from vlmtool_core.store.records import NewVersion
from vlmtool_core.training.gate import judge
from vlmtool_core.training.probe import FittedProbe, fit_probe
from vlmtool_core.training.records import (
    Comparison,
    ComparisonReport,
    CurveCallback,
    CurvePoint,
    Evaluation,
    GateDecision,
    TrainReport,
    TrainSettings,
    no_curve,
)
from vlmtool_core.training.snapshot import take_snapshot
from vlmtool_core.training.version_folder import (
    clear_leftovers,
    folder_name,
    training_lock,
    write_version,
)

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine
    from vlmtool_core.engine.heads import ProbeHead
    from vlmtool_core.project.facade import Project

__all__ = ["evaluate", "resolve_model", "train"]

# Up to this many labels the hold-out is small, and cross-validation is reported beside it.
CROSS_VALIDATED_UP_TO = 100
MODELS = "models"


def train(
    project: Project,
    settings: TrainSettings | None = None,
    *,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
    on_curve: CurveCallback = no_curve,
    cancel: CancelToken | None = None,
) -> TrainReport:
    """Learn from the project's labels, prove it on the hold-out, and use it if it is not worse.

    The version is there whole or not at all, also after a kill at any moment, and the active
    version changes last. The hold-out is fixed with the first training and never learnt from.

    Raises
    ------
    NotEnoughLabelsError : too few labels, classes or groups.
    ProjectBusyError : another training is under way in this project.
    MissingPackError, StorageError, CancelledError
    """
    started = time.monotonic()
    settings = settings or TrainSettings()
    with training_lock(project.root / MODELS):
        _tidy(project)
        data = collect(project)
        divide(project, data, settings, fix=False)
        machinery = Machinery(project, engine or _engine(), progress, cancel or CancelToken())
        with _recorded(project, settings) as run_id:
            report = _Training(machinery, settings, run_id, on_curve).run(data, started)
    return report


def _engine() -> Engine:
    from vlmtool_core.engine.runtime.user_engine import engine_as_set

    return engine_as_set()


def _tidy(project: Project) -> None:
    """Clear away what a killed training left; the lock says that none is running."""
    learning = project.store.learning
    clear_leftovers(project.root / MODELS, {v.number for v in learning.versions()})
    for run in learning.training_runs():
        if run.status == "running":
            error = ErrorInfo("interrupted", "the program ended during this training")
            learning.finish_training(run.id, "failed", error=error)


@contextmanager
def _recorded(project: Project, settings: TrainSettings) -> Iterator[int]:
    """A training run row, which says how it ended when it did not end well."""
    learning = project.store.learning
    run_id = learning.start_training(
        settings.task, settings.method, settings.seed, settings.to_json()
    )
    try:
        yield run_id
    except BaseException as error:
        stopped = isinstance(error, CancelledError | KeyboardInterrupt)
        learning.finish_training(
            run_id, "cancelled" if stopped else "failed", error=ErrorInfo.from_exception(error)
        )
        raise


@dataclass
class _Training:
    """One training, from labels to version."""

    machinery: Machinery
    settings: TrainSettings
    run_id: int
    on_curve: CurveCallback
    curve: list[CurvePoint] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def project(self) -> Project:
        return self.machinery.project

    def run(self, data: LabelledData, started: float) -> TrainReport:
        engine = self.machinery.engine
        active = active_version(self.project, self.settings.task)
        pack = engine.identity(
            Task.EMBED, model=self.settings.model or (active.pack if active else None)
        )
        # A head names the pack whose features it reads, which an identity may cover only in part.
        fingerprint = engine.store.pack(pack.id).fingerprint
        features, failed = self.machinery.features(data.items, pack.id)
        data = data.without(failed, "as they cannot be read")
        sides = divide(self.project, data, self.settings)
        probe = self._fit(sides.train, data, features, pack.id)
        head = head_of(probe, data.names, pack.id, fingerprint)
        number = max((v.number for v in self.project.store.learning.versions()), default=0) + 1
        report = self._prove(head, f"v{number}", data.labels, sides)
        gate = judge(*_old_and_new(report), margin=self.settings.margin)
        self.warnings += [*data.warnings, *sides.warnings, *report.warnings]
        kept = self._keep(number, head, probe, sides, report, gate)
        return replace(kept, seconds=time.monotonic() - started)

    def _fit(
        self,
        items: Sequence[LabelledItem],
        data: LabelledData,
        features: dict[int, NDArray[np.float32]],
        pack: str,
    ) -> FittedProbe:
        index = {name: i for i, name in enumerate(data.names)}
        return fit_probe(
            np.stack([features[item.id] for item in items]),
            np.array([index[item.label] for item in items], np.int64),
            [item.group for item in items],
            len(index),
            text_weights=self._text_weights(data.labels, pack),
            class_weights=self.settings.class_weights,
            seed=self.settings.seed,
            on_curve=self._on_curve,
            cancel=self.machinery.cancel,
        )

    def _on_curve(self, point: CurvePoint) -> None:
        self.curve.append(point)
        self.on_curve(point)

    def _text_weights(self, labels: Sequence[Label], pack: str) -> NDArray[np.float32] | None:
        if not self.settings.use_text:
            return None
        try:
            return self.machinery.engine.text_weights(labels, model=pack)
        except (TaskNotServedError, UsageError) as error:
            self.warnings.append(f"the labels' texts are not used: {error.message}")
            return None

    def _prove(
        self, head: ProbeHead, name: str, labels: Sequence[Label], sides: Sides
    ) -> ComparisonReport:
        """Old and new on the same hold-out; the old one first, if there is one that runs."""
        new = self.machinery.of_head(name, head, sides.holdout)
        old: list[Predictions] = []
        try:
            old = [_ask(self.machinery, ACTIVE, labels, sides.holdout, head.pack)]
        except (TaskNotServedError, UsageError, MissingPackError, PackError) as error:
            self.warnings.append(f"not compared with the model in use: {error}")
        return compare_on_holdout([*old, new], sides.holdout, seed=self.settings.seed)

    def _keep(
        self,
        number: int,
        head: ProbeHead,
        probe: FittedProbe,
        sides: Sides,
        report: ComparisonReport,
        gate: GateDecision,
    ) -> TrainReport:
        """Write folder and rows, then activate; in this order a kill can spoil nothing."""
        old, new, comparison = _old_and_new(report)
        learning = self.project.store.learning
        snapshot = take_snapshot(sides.snapshot_rows())
        snapshot_id = learning.add_snapshot(
            self.settings.task, [asdict(row) for row in snapshot.rows]
        )
        total = len(sides.train) + len(sides.holdout)
        title = f"{self.settings.method} on {head.pack}, {total} labels"
        cross_validated = probe.cross_validated if total < CROSS_VALIDATED_UP_TO else None
        data = {
            "metrics": summary(new),
            "gate": asdict(gate),
            "settings": self.settings.to_json(),
            "probe": probe_facts(probe),
            "cross_validated": cross_validated,
            "evaluation": new.to_json(),
            "old": old.to_json() if old else None,
            "comparison": comparison.to_json() if comparison else None,
            "warnings": self.warnings,
        }
        card = {
            **self._card(number, title, head),
            **data,
            "curve": [asdict(point) for point in self.curve],
            "snapshot": snapshot.to_json(),
        }
        self.machinery.cancel.check()
        write_version(self.project.root / MODELS, number, head, card)
        self._store(number, title, head, snapshot_id, data, report)
        if gate.passed:
            activate(self.project, number, self.settings.task, "activate")
        facts = {"version": number, "activated": gate.passed, "curve": card["curve"]}
        learning.finish_training(self.run_id, data=facts)
        return TrainReport(
            version=as_version(self.project, learning.version(number)),
            old=old,
            new=new,
            comparison=comparison,
            activated=gate.passed,
            reason=gate.reason,
            train_count=len(sides.train),
            cross_validated=cross_validated,
            warnings=tuple(self.warnings),
            curve=tuple(self.curve),
        )

    def _card(self, number: int, title: str, head: ProbeHead) -> dict[str, Json]:
        """What identifies the version, also outside of its project."""
        return {
            "version": number,
            "title": title,
            "program": __version__,
            "created_at": datetime.now(UTC).isoformat(),
            "task": self.settings.task.value,
            "pack": head.pack,
            "pack_fingerprint": head.pack_fingerprint,
            "head_fingerprint": head.fingerprint,
            "labels": list(head.labels),
        }

    def _store(
        self,
        number: int,
        title: str,
        head: ProbeHead,
        snapshot_id: int,
        data: dict[str, Json],
        report: ComparisonReport,
    ) -> None:
        learning = self.project.store.learning
        stored = learning.add_version(
            NewVersion(
                title=title,
                task=self.settings.task,
                base_pack=head.pack,
                base_fingerprint=head.pack_fingerprint,
                method=self.settings.method,
                path=f"{MODELS}/{folder_name(number)}",
                snapshot_id=snapshot_id,
                training_run_id=self.run_id,
                data=data,
            )
        )
        assert stored == number, "only the holder of the training lock adds versions"
        self.project.store.audit.append(
            "model.trained",
            {"version": number, "head": head.fingerprint, "training_run": self.run_id},
        )
        learning.add_metrics(
            replace(metric, training_run_id=self.run_id, snapshot_id=snapshot_id)
            for evaluation in report.evaluations
            for metric in metric_records(evaluation)
        )


def _old_and_new(
    report: ComparisonReport,
) -> tuple[Evaluation | None, Evaluation, Comparison | None]:
    if len(report.evaluations) == 1:
        return None, report.evaluations[0], None
    old, new = report.evaluations
    return old, new, report.comparisons[0]


def _ask(
    machinery: Machinery,
    name: str,
    labels: Sequence[Label],
    items: Sequence[LabelledItem],
    default_pack: str | None = None,
) -> Predictions:
    """Predictions of "v3", "active" or a pack; "active" may be the plain pack."""
    from vlmtool_core.engine.heads import ProbeHead

    version = None
    if name == ACTIVE or version_number(name) is not None:
        version = find_version(machinery.project, name)
    if version is not None:
        return machinery.of_head(version.label, ProbeHead.load(version.path), items)
    pack = machinery.engine.identity(Task.CLASSIFY, model=default_pack if name == ACTIVE else name)
    return machinery.of_pack(pack.id, labels, items)


def evaluate(
    project: Project,
    models: Sequence[str],
    *,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    seed: int = 0,
) -> ComparisonReport:
    """Models ("v2", "active", a pack's id) on the project's hold-out, compared with the first.

    A pack is asked by the words of the labels, untrained. A project that was never trained gets
    its hold-out now.

    Raises
    ------
    UsageError : no model is named.
    NotEnoughLabelsError, RecordNotFoundError, MissingPackError, TaskNotServedError
    """
    if not models:
        raise UsageError("name at least one model", field="--model")
    data = collect(project)
    sides = divide(project, data, TrainSettings(seed=seed))
    machinery = Machinery(project, engine or _engine(), progress, cancel or CancelToken())
    asked = [_ask(machinery, name, data.labels, sides.holdout) for name in models]
    report = compare_on_holdout(asked, sides.holdout, seed=seed)
    return replace(report, warnings=(*data.warnings, *sides.warnings, *report.warnings))
