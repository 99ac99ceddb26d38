"""The ledger of a run in a project: its predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vlmtool_core.batch.ledger import Finished
from vlmtool_core.records import ItemRef, ModelIdentity, ResultRow, Task

if TYPE_CHECKING:
    from vlmtool_core.store.records import PredictionRecord
    from vlmtool_core.store.repository import Store

# Fewer items than this are looked up one by one, more by reading the whole run.
FEW_ITEMS = 200


class ProjectLedger:
    """Writes the rows of one run as predictions. Items must have their `item_id`."""

    def __init__(self, store: Store, run_id: int, items: Sequence[ItemRef]) -> None:
        self._runs = store.runs
        self.run_id = run_id
        self._names = {_id(item): item.item for item in items}
        self._ids = {item.item: _id(item) for item in items}

    def finished(self) -> Mapping[str, Sequence[Finished]]:
        found: dict[str, list[Finished]] = {}
        for frame in self._runs.frames(self.run_id):
            name = self._names.get(frame.item_id)
            if name is not None:
                done = Finished(frame.frame, frame.sha256, frame.status)
                found.setdefault(name, []).append(done)
        return found

    def record(self, rows: Sequence[ResultRow]) -> None:
        from vlmtool_core.store.records import NewPrediction

        self._runs.add(
            self.run_id,
            [
                NewPrediction(
                    item_id=self._ids[row.item],
                    frame=row.frame,
                    outcome=row.outcome,
                    time_s=row.time_s,
                    sha256=row.sha256,
                    size=row.size,
                )
                for row in rows
            ],
        )

    def rows(self, items: Sequence[ItemRef]) -> Iterator[ResultRow]:
        if len(items) < FEW_ITEMS:
            for item in items:
                found = self._runs.of_item(_id(item), run_id=self.run_id, newest_only=False)
                yield from (result_of(item.item, p) for p in found)
            return
        by_item: dict[int, list[PredictionRecord]] = {}
        for chunk in self._runs.of_run(self.run_id):
            for prediction in chunk:
                by_item.setdefault(prediction.item_id, []).append(prediction)
        for item in items:
            yield from (result_of(item.item, p) for p in by_item.get(_id(item), ()))

    def clear(self) -> None:
        """Nothing: predictions are history; to start anew is to start another run."""

    def complete(self) -> None:
        self._runs.finish(self.run_id)


def _id(item: ItemRef) -> int:
    if item.item_id is None:
        raise ValueError(f"{item.item} belongs to no project")
    return item.item_id


def result_of(name: str, prediction: PredictionRecord) -> ResultRow:
    """A stored prediction as a row of results."""
    return ResultRow(
        item=name,
        sha256=prediction.sha256,
        frame=prediction.frame,
        time_s=prediction.time_s,
        task=Task(prediction.task),
        model=ModelIdentity(
            prediction.model.id, prediction.model.version, prediction.model.fingerprint
        ),
        outcome=prediction.outcome,
        size=prediction.size,
    )
