"""What the store takes and returns: frozen records, free of SQLAlchemy. Times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypedDict

from vlmtool_core.measurement import Measurement
from vlmtool_core.records import (
    Box,
    ErrorInfo,
    FindingStatus,
    Json,
    MediaKind,
    ModelIdentity,
    Outcome,
    Score,
    Task,
)

ItemOrder = Literal["name", "added", "score"]
ItemStatus = Literal["labelled", "unlabelled", "unreadable", "predicted"]
AnnotationKind = Literal["label", "box", "text", "measurement"]
SplitPart = Literal["train", "holdout"]


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """Which items, and in which order. None means: does not matter.

    label : items that carry this label by a person's decision
    status : labelled and unlabelled leave unreadable items out
    text : a part of the name, without regard to case
    order : name (natural), added (as taken in), score (lowest newest score first: the doubtful
        ones lead; items without a prediction come last)
    """

    kind: MediaKind | None = None
    group: str | None = None
    label: str | None = None
    status: ItemStatus | None = None
    text: str | None = None
    order: ItemOrder = "name"


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item of the project. `kind` is None and `error` says why when it cannot be read.

    name : unique in the project, posix; path : absolute
    width, height : pixels after orientation; duration_s : seconds
    labels : by persons, in the order of the label set; top : best score of the newest classify run
    files : the slices of a series in order, else empty
    """

    id: int
    name: str
    path: Path
    kind: MediaKind | None
    sha256: str
    group: str
    width: int | None
    height: int | None
    frame_count: int | None
    duration_s: float | None
    error: ErrorInfo | None
    labels: tuple[str, ...]
    top: Score | None
    added_at: datetime
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to take in; the fields are those of `ItemRecord`.

    stamp : size in bytes and modification time in ns, to see later whether a file has changed
    """

    name: str
    path: Path
    kind: MediaKind | None
    sha256: str = ""
    files: tuple[Path, ...] = ()
    group: str = ""
    width: int | None = None
    height: int | None = None
    frame_count: int | None = None
    duration_s: float | None = None
    error: ErrorInfo | None = None
    stamp: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class KnownItem:
    """What is needed to recognise an item again; `files` are the slices of a series."""

    id: int
    name: str
    path: str
    sha256: str
    stamp: tuple[int, int]
    readable: bool
    group: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """What a person decided of a frame. `prediction_id` when it came from an accepted one."""

    id: int
    item_id: int
    frame: int
    kind: AnnotationKind
    label: str
    box: Box | None
    text: str | None
    author: str
    prediction_id: int | None
    created_at: datetime
    updated_at: datetime
    measurement: Measurement | None = None


@dataclass(frozen=True, slots=True)
class NewAnnotation:
    """An annotation to be: a label, a box (its label inside), a text or a measurement.

    author : who decided it, "" for who adds it
    """

    item_id: int
    frame: int
    kind: AnnotationKind
    label: str = ""
    box: Box | None = None
    text: str | None = None
    prediction_id: int | None = None
    author: str = ""
    measurement: Measurement | None = None


class AnnotationChanges(TypedDict, total=False):
    """What of an annotation is changed; None is as if it were not given."""

    label: str | None
    box: Box | None
    text: str | None
    measurement: Measurement | None


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """The label that an item gets; None takes its labels away. The rest as in `NewAnnotation`."""

    label: str | None
    prediction_id: int | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step of a person's work; `undone` when it does not hold at present."""

    step: int
    description: str
    author: str
    at: datetime
    undone: bool


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One model version × one task × its parameters over items."""

    id: int
    task: Task
    model: ModelIdentity
    spec: Json
    spec_fingerprint: str
    started_at: datetime
    ended_at: datetime | None
    ok: int = 0
    empty: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class NewPrediction:
    """A prediction to be stored; `size` is (width, height) of the oriented source frame."""

    item_id: int
    frame: int
    outcome: Outcome
    time_s: float | None = None
    sha256: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """What a run says of a frame, and what a person decided about it."""

    id: int
    run_id: int
    item_id: int
    frame: int
    time_s: float | None
    task: Task
    model: ModelIdentity
    outcome: Outcome
    decision: FindingStatus = FindingStatus.PENDING
    sha256: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A model version as stored: immutable but for which one is active.

    path : relative to the project's folder (posix), "" when nothing was trained
    data : what learning keeps beside it (metrics, settings, calibration)
    """

    number: int
    title: str
    task: Task
    base_pack: str
    base_fingerprint: str
    method: str
    path: str
    created_at: datetime
    active: bool
    snapshot_id: int | None = None
    training_run_id: int | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A model version to be numbered and stored."""

    title: str
    task: Task
    base_pack: str
    base_fingerprint: str
    method: str
    path: str
    snapshot_id: int | None = None
    training_run_id: int | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingRunRecord:
    """One training, ended or not; `data` holds curves and results."""

    id: int
    task: Task
    method: str
    seed: int
    settings: Mapping[str, Json]
    started_at: datetime
    ended_at: datetime | None
    status: str
    error: ErrorInfo | None
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """A measured number with its confidence interval.

    model : who was measured ("starter-vision", "v2"); part : on what ("holdout")
    label : the class it is of, "" for all
    """

    model: str
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    part: str = "holdout"
    label: str = ""
    training_run_id: int | None = None
    snapshot_id: int | None = None


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """The frozen data of a training: `entries` are JSON rows (item, annotation, hash, part)."""

    id: int
    sha256: str
    task: Task
    created_at: datetime
    entries: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A link of the audit chain; `hash` covers every field and the hash before it."""

    id: int
    at: datetime
    author: str
    kind: str
    data: Mapping[str, Json]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """`broken_at`: the first entry whose hash does not fit, None when the chain holds."""

    entries: int
    broken_at: int | None


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How much of everything a project holds; measurements are no `annotations` here."""

    items: int
    unreadable: int
    labelled: int
    groups: int
    annotations: int
    measurements: int
    predictions: int
    runs: int
    findings: int
    pending_findings: int
    versions: int
