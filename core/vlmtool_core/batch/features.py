"""Embeddings of items, kept on disk by content, frame and model, so that each is made once.

One folder per model fingerprint holds `index.sqlite` (content and frame → row number) and
`rows.f32` (the vectors, one after the other, memory-mapped when read). Vectors are written and
flushed before the index names them, so a kill leaves at most unnamed bytes at the end.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from vlmtool_core import paths
from vlmtool_core.batch.decode import Job
from vlmtool_core.batch.hashes import ContentHashes
from vlmtool_core.batch.pipeline import Batch, Pipeline
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.batch.sqlite_file import open_cache
from vlmtool_core.errors import MediaNotFoundError, StorageError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.records import ErrorInfo, ItemRef, Json, Outcome, OutcomeStatus, Task
from vlmtool_core.settings import load_settings

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine

_TABLES = """
CREATE TABLE IF NOT EXISTS place (
  sha256 TEXT NOT NULL, frame INTEGER NOT NULL, row INTEGER NOT NULL UNIQUE,
  PRIMARY KEY (sha256, frame)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS provenance (
  sha256 TEXT NOT NULL, frame INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (sha256, frame)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
  sha256 TEXT NOT NULL, frame INTEGER NOT NULL, time_s REAL, width INTEGER, height INTEGER,
  PRIMARY KEY (sha256, frame)
) WITHOUT ROWID
"""
_CHUNK = 900

Key = tuple[str, int]


class Kept(NamedTuple):
    """An embedding with its provenance, and what it is of.

    size : (width, height) of the oriented source
    """

    key: Key
    outcome: Outcome
    time_s: float | None = None
    size: tuple[int, int] | None = None


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Features:
    """Embeddings in the order of the items; items that failed are left out.

    items, frames : which row is of which item and frame
    matrix : float32 (n, d), rows L2-normalised
    failed : item and reason
    """

    items: tuple[ItemRef, ...]
    frames: tuple[int, ...]
    matrix: np.ndarray
    failed: tuple[tuple[ItemRef, ErrorInfo], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the items, row by row."""
        return tuple(item.item for item in self.items)

    @property
    def item_ids(self) -> tuple[int | None, ...]:
        """The project's row of each item, None on a bare folder."""
        return tuple(item.item_id for item in self.items)


class Known(NamedTuple):
    """A frame that is in the cache: where, and what is told with its outcome."""

    row: int
    provenance: Mapping[str, Json]
    time_s: float | None
    size: tuple[int, int]


@functools.lru_cache(maxsize=256)
def _provenance(text: str) -> Mapping[str, Json]:
    # Thousands of rows share a few texts.
    provenance: Mapping[str, Json] = json.loads(text)
    return provenance


class FeatureCache:
    """The vectors of one model. Several processes may use it at a time; one thread each.

    width : d, the length of a vector
    """

    def __init__(self, fingerprint: str, width: int, folder: Path | None = None) -> None:
        name = f"{fingerprint[:32]}-{width}"
        self._folder = (folder or paths.cache_dir() / "features") / name
        self._width = width
        self._file = self._folder / "rows.f32"
        self._database = open_cache(self._folder / "index.sqlite", _TABLES)
        self._drop_unbacked()

    def _drop_unbacked(self) -> None:
        """Forget rows whose bytes are not there (a file was deleted or cut)."""
        unbacked = "FROM place WHERE row >= ?"
        if not self._database.execute(f"SELECT 1 {unbacked} LIMIT 1", (self._backed(),)).fetchone():
            return
        # Another process may have written since the file was measured: measured again, locked.
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(f"DELETE {unbacked}", (self._backed(),))
        self._database.execute("COMMIT")

    def _backed(self) -> int:
        """Rows whose bytes are there."""
        return self._file.stat().st_size // self._row_bytes if self._file.exists() else 0

    @property
    def _row_bytes(self) -> int:
        return 4 * self._width

    def places(self) -> dict[Key, int]:
        """Row number of everything that is cached."""
        query = "SELECT sha256, frame, row FROM place"
        return {(sha256, frame): row for sha256, frame, row in self._database.execute(query)}

    def known(self, contents: Iterable[str]) -> dict[Key, Known]:
        """All frames of these contents whose outcome is known in full."""
        query = (
            "SELECT sha256, frame, row, value, time_s, width, height FROM place"
            " JOIN provenance USING (sha256, frame) JOIN seen USING (sha256, frame)"
            " WHERE sha256 IN ({})"
        )
        wanted = list(dict.fromkeys(contents))
        found: dict[Key, Known] = {}
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(part))
            for sha256, frame, row, value, time_s, width, height in self._database.execute(
                query.format(marks), part
            ):
                provenance = _provenance(value)
                found[sha256, frame] = Known(row, provenance, time_s, (width, height))
        return found

    def rows_of(self, contents: Sequence[str]) -> np.ndarray:
        """int64 (n,): the row of the first frame of each content, -1 where it is not cached."""
        query = "SELECT sha256, row FROM place WHERE frame = 0"
        rows: dict[str, int] = dict(self._database.execute(query).fetchall())
        return np.fromiter((rows.get(c, -1) for c in contents), np.int64, len(contents))

    def outcomes(self, known: Sequence[Known]) -> list[Outcome]:
        """What the model gave for these frames."""
        vectors = self.read([one.row for one in known])
        return [
            Outcome(OutcomeStatus.OK, embedding=vector, provenance=one.provenance)
            for vector, one in zip(vectors, known, strict=True)
        ]

    def add_outcomes(self, entries: Sequence[Kept]) -> dict[Key, int]:
        """Keep the embeddings of these outcomes with their provenance; returns row numbers.

        Raises
        ------
        StorageError : the disk is full or read-only.
        """
        vectors = [(kept.key, kept.outcome.embedding) for kept in entries]
        rows = self.add([(key, vector) for key, vector in vectors if vector is not None])
        made = [kept for kept in entries if kept.key in rows]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "INSERT OR REPLACE INTO provenance VALUES (?, ?, ?)",
            [(*kept.key, json.dumps(dict(kept.outcome.provenance))) for kept in made],
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)",
            [(*kept.key, kept.time_s, *kept.size) for kept in made if kept.size is not None],
        )
        self._database.execute("COMMIT")
        return rows

    def read(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """float32 (n, d): the vectors at these row numbers."""
        if not len(rows):
            return np.empty((0, self._width), np.float32)
        count = self._file.stat().st_size // self._row_bytes
        mapped = np.memmap(self._file, np.dtype("<f4"), "r", shape=(count, self._width))
        return np.asarray(mapped[np.asarray(rows)], dtype=np.float32)

    def add(self, entries: Sequence[tuple[Key, np.ndarray]]) -> dict[Key, int]:
        """Keep vectors, all or none, and return their row numbers.

        Raises
        ------
        StorageError : the disk is full or read-only.
        """
        if not entries:
            return {}
        self._database.execute("BEGIN IMMEDIATE")
        try:
            last = self._database.execute("SELECT max(row) FROM place").fetchone()[0]
            first = 0 if last is None else last + 1
            self._write(first, np.stack([vector for _, vector in entries]))
            rows = {key: first + number for number, (key, _) in enumerate(entries)}
            self._database.executemany(
                "INSERT OR REPLACE INTO place VALUES (?, ?, ?)",
                [(sha256, frame, row) for (sha256, frame), row in rows.items()],
            )
            self._database.execute("COMMIT")
        except OSError as error:
            raise StorageError(error.strerror or str(error), path=self._file) from error
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        return rows

    def _write(self, first: int, vectors: np.ndarray) -> None:
        if vectors.shape[1] != self._width:
            raise ValueError(f"expected vectors of {self._width}, got {vectors.shape[1]}")
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "r+b") as file:
            file.seek(first * self._row_bytes)
            file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())

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


def embed_items(
    items: Iterable[ItemRef],
    engine: Engine,
    *,
    model: str | None = None,
    frames: Sequence[int] | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Features:
    """One embedding per item, from the cache where it is there, else from the model.

    frames : the frame of each item, one per item; frame 0 when None. An item may be listed
        several times with different frames.
    progress : counts what has to be computed

    Raises
    ------
    CancelledError : stopped; what was computed is kept in the cache.
    MissingError, PackError, TaskNotServedError : no item could ever be embedded.
    """
    refs = list(items)
    wanted = list(frames) if frames is not None else [0] * len(refs)
    if len(wanted) != len(refs):
        raise ValueError(f"expected {len(refs)} frames, got {len(wanted)}")
    cancel = cancel or CancelToken()
    spec = RunSpec(Task.EMBED, model=model, frames="all")
    predictor = Predictor(engine, spec, batch_size=load_settings().batch_size)
    width = engine.embedding_size(model)
    with (
        ContentHashes(refs) as hashes,
        FeatureCache(predictor.identity().fingerprint, width) as cache,
    ):
        work = _Embedding(cache, cache.places(), hashes)
        work.find(refs, wanted)
        work.compute(spec, predictor, progress, cancel)
        return work.collect(refs, wanted)


@dataclass
class _Embedding:
    """One call of `embed_items`: what is cached, what is missing, what failed."""

    cache: FeatureCache
    places: dict[Key, int]
    hashes: ContentHashes
    keys: list[Key | None] = field(default_factory=list)
    missing: dict[Key, tuple[ItemRef, int]] = field(default_factory=dict)
    failed: dict[tuple[str, int], ErrorInfo] = field(default_factory=dict)

    def find(self, items: Sequence[ItemRef], frames: Sequence[int]) -> None:
        for item, frame in zip(items, frames, strict=True):
            key = self._key(item, frame)
            self.keys.append(key)
            if key is not None and key not in self.places:
                self.missing.setdefault(key, (item, frame))

    def _key(self, item: ItemRef, frame: int) -> Key | None:
        try:
            return self.hashes.of(item), frame
        except MediaNotFoundError as error:
            self.failed[item.item, frame] = ErrorInfo.from_exception(error)
            return None

    def compute(
        self,
        spec: RunSpec,
        predictor: Predictor,
        progress: ProgressCallback,
        cancel: CancelToken,
    ) -> None:
        jobs = [Job(item, only=frozenset({frame})) for item, frame in self.missing.values()]
        meter = ProgressMeter(progress, len(jobs))
        of = self.hashes.of
        with Pipeline(jobs, spec, predictor, hash_of=of, cancel=cancel) as pipeline:
            for batch in pipeline:
                failed = self._keep(batch)
                meter.step(len(batch.answers), failed=failed)
        cancel.check()

    def _keep(self, batch: Batch) -> int:
        entries: list[Kept] = []
        failed = 0
        for answer in batch.answers:
            decoded, outcome = answer.decoded, answer.outcome
            if outcome.embedding is not None:
                key = (decoded.item.sha256, decoded.index)
                entries.append(Kept(key, outcome, answer.time_s, answer.size))
            else:
                failed += 1
                error = outcome.error or ErrorInfo("inference", "the model gave no embedding")
                self.failed[decoded.item.item, decoded.index] = error
        if entries:
            self.places.update(self.cache.add_outcomes(entries))
        return failed

    def collect(self, items: Sequence[ItemRef], frames: Sequence[int]) -> Features:
        found: list[tuple[ItemRef, int, int]] = []
        failed: list[tuple[ItemRef, ErrorInfo]] = []
        for item, frame, key in zip(items, frames, self.keys, strict=True):
            row = None if key is None else self.places.get(key)
            if row is None:
                failed.append((item, self._reason(item, frame, key)))
            else:
                found.append((item, frame, row))
        matrix = self.cache.read([row for _, _, row in found])
        return Features(
            tuple(item for item, _, _ in found),
            tuple(frame for _, frame, _ in found),
            matrix,
            tuple(failed),
        )

    def _reason(self, item: ItemRef, frame: int, key: Key | None) -> ErrorInfo:
        """Why there is no vector; of two items with the same content only one was tried."""
        tried = self.missing[key][0] if key in self.missing else item
        return self.failed.get((item.item, frame)) or self.failed[tried.item, frame]
