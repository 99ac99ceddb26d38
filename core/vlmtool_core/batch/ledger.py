"""What a run has finished: kept after each batch, so that a run can be killed and go on."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vlmtool_core import paths
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.batch.sqlite_file import open_cache
from vlmtool_core.errors import StorageError
from vlmtool_core.json_codec import outcome_from_json, outcome_to_json
from vlmtool_core.records import (
    ItemRef,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    ResultRow,
)

KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Finished:
    """A frame that is in the ledger; `sha256` of the content that it was made from."""

    frame: int
    sha256: str
    status: OutcomeStatus


class Ledger(Protocol):
    """Where a run writes its rows, and reads what it has already done."""

    def finished(self) -> Mapping[str, Sequence[Finished]]:
        """The finished frames by item."""
        ...

    def record(self, rows: Sequence[ResultRow]) -> None:
        """Keep rows, all or none; a row of the same item and frame is replaced."""
        ...

    def rows(self, items: Sequence[ItemRef]) -> Iterator[ResultRow]:
        """The rows of these items, in their order and then by frame."""
        ...

    def clear(self) -> None:
        """Forget everything, to start from the beginning."""
        ...

    def complete(self) -> None:
        """The run has gone through every item."""
        ...


_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS row (
  item TEXT NOT NULL, frame INTEGER NOT NULL, sha256 TEXT NOT NULL, status TEXT NOT NULL,
  time_s REAL, width INTEGER, height INTEGER, outcome TEXT NOT NULL, embedding BLOB,
  PRIMARY KEY (item, frame)
) WITHOUT ROWID;
"""
_COLUMNS = "item, frame, sha256, status, time_s, width, height, outcome, embedding"


class FolderLedger:
    """The ledger of a run over a file or folder that belongs to no project.

    One SQLite file per input path, spec and model; a change of any of them is another run.
    Used from one thread.
    """

    def __init__(self, file: Path, spec: RunSpec, model: ModelIdentity) -> None:
        self.file = file
        self._task = spec.task
        self._model = model
        self._database = open_cache(file, _TABLES)
        about = {"spec": json.dumps(spec.to_json()), "model": str(model)}
        self._database.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())

    @classmethod
    def for_input(cls, path: Path, spec: RunSpec, model: ModelIdentity) -> FolderLedger:
        """The ledger of this input in the cache folder; those unused for 30 days are removed."""
        folder = paths.cache_dir() / "runs"
        _remove_old(folder)
        parts = [str(path.absolute()), spec.fingerprint(), model.id, model.version]
        key = hashlib.sha256("\n".join([*parts, model.fingerprint]).encode("utf-8", "replace"))
        return cls(folder / f"{key.hexdigest()[:32]}.sqlite", spec, model)

    def finished(self) -> Mapping[str, Sequence[Finished]]:
        found: dict[str, list[Finished]] = {}
        for item, frame, sha256, status in self._database.execute(
            "SELECT item, frame, sha256, status FROM row ORDER BY item, frame"
        ):
            found.setdefault(_name(item), []).append(Finished(frame, sha256, OutcomeStatus(status)))
        return found

    def record(self, rows: Sequence[ResultRow]) -> None:
        contents = {(_stored(row.item), row.sha256) for row in rows}
        try:
            self._database.execute("BEGIN IMMEDIATE")
            # The file has changed since: what was said of its old content is void.
            self._database.executemany("DELETE FROM row WHERE item = ? AND sha256 <> ?", contents)
            self._database.executemany(
                f"INSERT OR REPLACE INTO row ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_values(row) for row in rows],
            )
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise StorageError(str(error), path=self.file) from error

    def rows(self, items: Sequence[ItemRef]) -> Iterator[ResultRow]:
        query = f"SELECT {_COLUMNS} FROM row WHERE item = ? ORDER BY frame"
        for item in items:
            for values in self._database.execute(query, (_stored(item.item),)).fetchall():
                yield self._row(item, values)

    def _row(self, item: ItemRef, values: tuple[object, ...]) -> ResultRow:
        _, frame, sha256, _, time_s, width, height, text, blob = values
        assert isinstance(frame, int)
        assert isinstance(text, str)
        outcome = _with_embedding(outcome_from_json(json.loads(text)), blob)
        return ResultRow(
            item=item.item,
            sha256=str(sha256),
            frame=frame,
            time_s=time_s if isinstance(time_s, float) else None,
            task=self._task,
            model=self._model,
            outcome=outcome,
            size=(width, height) if isinstance(width, int) and isinstance(height, int) else None,
        )

    def clear(self) -> None:
        self._database.execute("DELETE FROM row")

    def complete(self) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO about VALUES ('completed_at', ?)", (str(time.time()),)
        )

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _values(row: ResultRow) -> tuple[object, ...]:
    embedding = row.outcome.embedding
    blob = None if embedding is None else embedding.astype("<f4").tobytes()
    body = json.dumps(outcome_to_json(replace(row.outcome, embedding=None)))
    width, height = row.size or (None, None)
    status = row.outcome.status.value
    return (
        _stored(row.item),
        row.frame,
        row.sha256,
        status,
        row.time_s,
        width,
        height,
        body,
        blob,
    )


def _with_embedding(outcome: Outcome, blob: object) -> Outcome:
    if not isinstance(blob, bytes):
        return outcome
    import numpy as np

    return replace(outcome, embedding=np.frombuffer(blob, dtype="<f4").astype(np.float32))


def _stored(name: str) -> str:
    """SQLite takes no surrogates, which Python puts where a file name is no UTF-8."""
    return json.dumps(name) if any("\ud800" <= c <= "\udfff" for c in name) else name


def _name(stored: str) -> str:
    escaped = stored.startswith('"') and stored.endswith('"') and "\\ud" in stored
    return str(json.loads(stored)) if escaped else stored


def _remove_old(folder: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86400
    for file in folder.glob("*.sqlite"):
        if file.stat().st_mtime < oldest:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
