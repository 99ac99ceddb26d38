"""What a version was trained and proved on: ids with hashes, sealed by a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from vlmtool_core.records import Json


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One labelled item as it was at training time. `side`: "train" or "holdout"."""

    item_id: int
    annotation_id: int
    sha256: str
    label: str
    group: str
    side: str


@dataclass(frozen=True)
class Snapshot:
    """Rows ordered by item; `digest` is the SHA-256 of their canonical JSON."""

    rows: tuple[SnapshotRow, ...]
    digest: str

    def to_json(self) -> dict[str, Json]:
        return {"digest": self.digest, "rows": [asdict(row) for row in self.rows]}


def take_snapshot(rows: Iterable[SnapshotRow]) -> Snapshot:
    """Order the rows and seal them."""
    ordered = tuple(sorted(rows, key=lambda row: (row.item_id, row.annotation_id)))
    canonical = json.dumps([asdict(row) for row in ordered], sort_keys=True, ensure_ascii=False)
    return Snapshot(ordered, hashlib.sha256(canonical.encode()).hexdigest())
