"""What learning keeps: fixed splits, dataset snapshots, training runs, metrics, model versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from vlmtool_core.errors import RecordNotFoundError, TrainingError
from vlmtool_core.json_codec import error_from_json, error_to_json
from vlmtool_core.records import ErrorInfo, Json, Task
from vlmtool_core.store.database import Database
from vlmtool_core.store.records import (
    MetricRecord,
    NewVersion,
    SnapshotRecord,
    SplitPart,
    StoredVersion,
    TrainingRunRecord,
)
from vlmtool_core.store.settings_table import get_setting, put_setting
from vlmtool_core.store.tables import DatasetSnapshot, Metric, ModelVersion, Split, TrainingRun

_ACTIVE = "active_version"
_PARTS: dict[str, SplitPart] = {"train": "train", "holdout": "holdout"}


class LearningStore:
    """Splits, snapshots, training runs, metrics and model versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def split(self) -> dict[int, SplitPart]:
        """Item id -> part, for every item that has one."""
        with self._database.reading() as connection:
            rows = connection.execute(select(Split.item_id, Split.part))
            return {item_id: _PARTS[part] for item_id, part in rows}

    def add_to_split(self, parts: Mapping[int, SplitPart]) -> None:
        """Fix the part of items.

        Raises
        ------
        TrainingError : an item is already in the other part; nothing is then written
        """
        with self._database.writing() as connection:
            known = {i: part for i, part in connection.execute(select(Split.item_id, Split.part))}
            moved = [i for i, part in parts.items() if known.get(i, part) != part]
            if moved:
                raise TrainingError(
                    f"item {moved[0]} is in the {known[moved[0]]} part and stays there",
                    remedy="A split is fixed once it is made.",
                )
            now = datetime.now(UTC)
            rows = [
                {"item_id": i, "part": part, "created_at": now}
                for i, part in parts.items()
                if i not in known
            ]
            if rows:
                connection.execute(insert(Split), rows)

    def add_snapshot(self, task: Task, entries: Sequence[Json]) -> int:
        """Freeze the data of a training; the same entries give the same snapshot."""
        text = json.dumps(entries, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(f"{task.value}\n{text}".encode()).hexdigest()
        with self._database.writing() as connection:
            wanted = select(DatasetSnapshot.id).where(DatasetSnapshot.sha256 == digest)
            found = connection.execute(wanted).scalar()
            if found is not None:
                return int(found)
            values = {
                "sha256": digest,
                "task": task.value,
                "entries": list(entries),
                "created_at": datetime.now(UTC),
            }
            statement = insert(DatasetSnapshot).values(**values).returning(DatasetSnapshot.id)
            return int(connection.execute(statement).scalar_one())

    def snapshot(self, snapshot_id: int) -> SnapshotRecord:
        """`RecordNotFoundError` when there is none of that number."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(DatasetSnapshot.__table__).where(DatasetSnapshot.id == snapshot_id)
            ).one_or_none()
        if row is None:
            raise RecordNotFoundError(f"no dataset snapshot number {snapshot_id}")
        return SnapshotRecord(
            row.id, row.sha256, Task(row.task), row.created_at, tuple(row.entries)
        )

    def start_training(
        self, task: Task, method: str, seed: int, settings: Mapping[str, Json]
    ) -> int:
        """Record that a training began; returns its number."""
        values = {
            "task": task.value,
            "method": method,
            "seed": seed,
            "settings": dict(settings),
            "status": "running",
            "data": {},
            "started_at": datetime.now(UTC),
        }
        with self._database.writing() as connection:
            statement = insert(TrainingRun).values(**values).returning(TrainingRun.id)
            return int(connection.execute(statement).scalar_one())

    def finish_training(
        self,
        training_run_id: int,
        status: str = "finished",
        *,
        data: Mapping[str, Json] | None = None,
        error: ErrorInfo | None = None,
    ) -> None:
        """Record how it ended: finished, failed or cancelled."""
        values = {
            "status": status,
            "data": dict(data or {}),
            "error": None if error is None else error_to_json(error),
            "ended_at": datetime.now(UTC),
        }
        with self._database.writing() as connection:
            connection.execute(
                update(TrainingRun).where(TrainingRun.id == training_run_id).values(**values)
            )

    def training_runs(self) -> list[TrainingRunRecord]:
        """Every training, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(TrainingRun.__table__).order_by(TrainingRun.id))
            return [_training_run(row) for row in rows]

    def add_metrics(self, metrics: Iterable[MetricRecord]) -> None:
        now = datetime.now(UTC)
        names = MetricRecord.__dataclass_fields__
        rows = [{**{n: getattr(m, n) for n in names}, "created_at": now} for m in metrics]
        with self._database.writing() as connection:
            if rows:
                connection.execute(insert(Metric), rows)

    def metrics(
        self, *, model: str | None = None, training_run_id: int | None = None
    ) -> list[MetricRecord]:
        """Measured numbers, oldest first."""
        names = list(MetricRecord.__dataclass_fields__)
        statement = select(*(getattr(Metric, name) for name in names)).order_by(Metric.id)
        if model is not None:
            statement = statement.where(Metric.model == model)
        if training_run_id is not None:
            statement = statement.where(Metric.training_run_id == training_run_id)
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return [MetricRecord(**dict(zip(names, row, strict=True))) for row in rows]

    def add_version(self, version: NewVersion) -> int:
        """Store a model version under the next number; it is not active yet."""
        with self._database.writing() as connection:
            last = connection.execute(select(func.max(ModelVersion.number))).scalar()
            number = 1 if last is None else int(last) + 1
            values = {
                "number": number,
                "title": version.title,
                "task": version.task.value,
                "base_pack": version.base_pack,
                "base_fingerprint": version.base_fingerprint,
                "method": version.method,
                "path": version.path,
                "snapshot_id": version.snapshot_id,
                "training_run_id": version.training_run_id,
                "data": dict(version.data),
                "created_at": datetime.now(UTC),
            }
            connection.execute(insert(ModelVersion).values(**values))
        return number

    def versions(self) -> list[StoredVersion]:
        """Every model version, oldest first."""
        with self._database.reading() as connection:
            return _versions(connection)

    def version(self, number: int) -> StoredVersion:
        """`RecordNotFoundError` when there is none of that number."""
        for version in self.versions():
            if version.number == number:
                return version
        raise RecordNotFoundError(
            f"no model version v{number}", remedy="List them: vlmtool-cli models history PROJECT"
        )

    def active_version(self, task: Task = Task.CLASSIFY) -> StoredVersion | None:
        """The version that `task` uses, None while it is the plain pack."""
        found = [v for v in self.versions() if v.active and v.task is task]
        return found[0] if found else None

    def set_active(self, number: int | None, task: Task = Task.CLASSIFY) -> None:
        """Choose the version that `task` uses; None goes back to the plain pack.

        Raises
        ------
        RecordNotFoundError : no version of that number serves the task
        """
        with self._database.writing() as connection:
            numbers = {v.number for v in _versions(connection) if v.task is task}
            if number is not None and number not in numbers:
                raise RecordNotFoundError(
                    f"no model version v{number} for {task.value}",
                    remedy="List them: vlmtool-cli models history PROJECT",
                )
            active = dict(get_setting(connection, _ACTIVE, {}))
            active[task.value] = number
            put_setting(connection, _ACTIVE, active)


def _versions(connection: Connection) -> list[StoredVersion]:
    active = get_setting(connection, _ACTIVE, {})
    rows = connection.execute(select(ModelVersion.__table__).order_by(ModelVersion.number))
    return [_version(row, active) for row in rows]


def _version(row: Row[Any], active: Mapping[str, int | None]) -> StoredVersion:
    return StoredVersion(
        number=row.number,
        title=row.title,
        task=Task(row.task),
        base_pack=row.base_pack,
        base_fingerprint=row.base_fingerprint,
        method=row.method,
        path=row.path,
        created_at=row.created_at,
        active=active.get(row.task) == row.number,
        snapshot_id=row.snapshot_id,
        training_run_id=row.training_run_id,
        data=row.data,
    )


def _training_run(row: Row[Any]) -> TrainingRunRecord:
    return TrainingRunRecord(
        id=row.id,
        task=Task(row.task),
        method=row.method,
        seed=row.seed,
        settings=row.settings,
        started_at=row.started_at,
        ended_at=row.ended_at,
        status=row.status,
        error=None if row.error is None else error_from_json(row.error),
        data=row.data,
    )
