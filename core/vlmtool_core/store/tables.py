"""The tables of a project, revision 2, in SQLite and PostgreSQL. Private to the store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from vlmtool_core.store.column_types import Text, UtcDateTime


class Base(DeclarativeBase):
    # Constraints without names cannot be altered on SQLite later.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Setting(Base):
    __tablename__ = "setting"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class Group(Base):
    """What must not be split between training and hold-out."""

    __tablename__ = "group"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)


class Item(Base):
    """`top_label` and `top_score` repeat the newest classify run, so that a grid can sort by it."""

    __tablename__ = "item"
    __table_args__ = (
        Index(None, "sort_key", "id"),
        Index(None, "top_score", "id"),
        Index(None, "kind", "sort_key", "id"),
        Index(None, "group_id", "sort_key", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    sort_key: Mapped[str] = mapped_column(Text)
    folded_name: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text, index=True)
    files: Mapped[list[Any]]
    kind: Mapped[str | None] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("group.id"))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    frame_count: Mapped[int | None]
    duration_s: Mapped[float | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    top_label: Mapped[str | None] = mapped_column(Text)
    top_score: Mapped[float | None]
    top_run_id: Mapped[int | None]
    added_at: Mapped[datetime]


class FrameInfo(Base):
    """What a run learnt of single frames: time in seconds from pts, size in pixels."""

    __tablename__ = "frame_info"

    item_id: Mapped[int] = mapped_column(
        ForeignKey("item.id", ondelete="CASCADE"), primary_key=True
    )
    frame: Mapped[int] = mapped_column(primary_key=True)
    time_s: Mapped[float | None]
    width: Mapped[int | None]
    height: Mapped[int | None]


class Label(Base):
    """`in_set` is false for labels that left the label set but are still used."""

    __tablename__ = "label"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    definition: Mapped[str] = mapped_column(Text)
    colour: Mapped[str] = mapped_column(String(32))
    shortcut: Mapped[str] = mapped_column(String(32))
    position: Mapped[int]
    in_set: Mapped[bool]


class LabelPrompt(Base):
    __tablename__ = "label_prompt"

    label_id: Mapped[int] = mapped_column(
        ForeignKey("label.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class Run(Base):
    __tablename__ = "run"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(16))
    model_id: Mapped[str] = mapped_column(Text)
    model_version: Mapped[str] = mapped_column(Text)
    model_fingerprint: Mapped[str] = mapped_column(Text)
    spec: Mapped[Any] = mapped_column(JSON)
    spec_fingerprint: Mapped[str] = mapped_column(Text, index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Prediction(Base):
    """`detail` holds boxes, lines, evidence, error and provenance as JSON."""

    __tablename__ = "prediction"
    __table_args__ = (
        UniqueConstraint("run_id", "item_id", "frame"),
        Index(None, "run_id", "status"),
        Index(None, "item_id", "frame", "run_id"),
        CheckConstraint("status IN ('ok', 'empty', 'failed', 'cancelled')", name="status"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id", ondelete="CASCADE"))
    frame: Mapped[int]
    time_s: Mapped[float | None]
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    text: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]]
    embedding: Mapped[bytes | None] = mapped_column(LargeBinary)
    width: Mapped[int | None]
    height: Mapped[int | None]
    created_at: Mapped[datetime]


class Score(Base):
    __tablename__ = "score"

    prediction_id: Mapped[int] = mapped_column(
        ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True
    )
    rank: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    score: Mapped[float]


class Finding(Base):
    __tablename__ = "finding"
    __table_args__ = (Index(None, "workflow", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    workflow: Mapped[str] = mapped_column(Text)
    workflow_version: Mapped[str] = mapped_column(Text)
    item_id: Mapped[int | None] = mapped_column(
        ForeignKey("item.id", ondelete="SET NULL"), index=True
    )
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    score: Mapped[float | None]
    label: Mapped[str] = mapped_column(Text)
    frame: Mapped[int]
    start_s: Mapped[float | None]
    end_s: Mapped[float | None]
    box: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    model: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Annotation(Base):
    """What holds now; how it came about is in `annotation_event` and `annotation_change`.

    data : of a measurement, its shape and result
    """

    __tablename__ = "annotation"
    __table_args__ = (
        Index(None, "item_id", "frame"),
        Index(None, "label_id", "item_id"),
        Index(None, "kind", "item_id"),
        CheckConstraint("kind IN ('label', 'box', 'text', 'measurement')", name="kind"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    frame: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    label_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))
    x1: Mapped[float | None]
    y1: Mapped[float | None]
    x2: Mapped[float | None]
    y2: Mapped[float | None]
    text: Mapped[str | None] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    prediction_id: Mapped[int | None] = mapped_column(
        ForeignKey("prediction.id", ondelete="SET NULL")
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class AnnotationEvent(Base):
    """A step (action do), or its undoing or redoing (`target` names the step). Append-only.

    previous : the step on top of the undo stack before this step was done
    head, redo : the top of the undo stack, and what redo would do, after this event
    """

    __tablename__ = "annotation_event"
    __table_args__ = (
        CheckConstraint("action IN ('do', 'undo', 'redo')", name="action"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(String(8))
    target: Mapped[int | None] = mapped_column(index=True)
    previous: Mapped[int | None] = mapped_column(index=True)
    head: Mapped[int | None]
    redo: Mapped[int | None]
    description: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class AnnotationChange(Base):
    """One row that a step changed, before and after; None means: was not, or is not, there."""

    __tablename__ = "annotation_change"

    event_id: Mapped[int] = mapped_column(ForeignKey("annotation_event.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    entity: Mapped[str] = mapped_column(String(16))
    entity_id: Mapped[int]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Review(Base):
    """A person's decision on a prediction or a finding; no row means pending."""

    __tablename__ = "review"
    __table_args__ = (
        UniqueConstraint("entity", "entity_id"),
        CheckConstraint("entity IN ('prediction', 'finding')", name="entity"),
        CheckConstraint("status IN ('accepted', 'rejected', 'edited')", name="status"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    entity: Mapped[str] = mapped_column(String(16))
    entity_id: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    label: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime]


class DatasetSnapshot(Base):
    __tablename__ = "dataset_snapshot"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    task: Mapped[str] = mapped_column(String(16))
    entries: Mapped[list[Any]]
    created_at: Mapped[datetime]


class TrainingRun(Base):
    __tablename__ = "training_run"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(16))
    method: Mapped[str] = mapped_column(Text)
    seed: Mapped[int]
    settings: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    data: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ModelVersion(Base):
    __tablename__ = "model_version"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text)
    task: Mapped[str] = mapped_column(String(16))
    base_pack: Mapped[str] = mapped_column(Text)
    base_fingerprint: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_snapshot.id"))
    training_run_id: Mapped[int | None] = mapped_column(ForeignKey("training_run.id"))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Metric(Base):
    __tablename__ = "metric"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    training_run_id: Mapped[int | None] = mapped_column(ForeignKey("training_run.id"), index=True)
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_snapshot.id"))
    model: Mapped[str] = mapped_column(Text)
    part: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    value: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    created_at: Mapped[datetime]


class Split(Base):
    """Which part an item belongs to, fixed once made."""

    __tablename__ = "split"
    __table_args__ = (CheckConstraint("part IN ('train', 'holdout')", name="part"),)

    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), primary_key=True)
    part: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]


class AuditEvent(Base):
    """Append-only; `at` is the exact text that the hash covers."""

    __tablename__ = "audit_event"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(String(40))
    author: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    data: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
