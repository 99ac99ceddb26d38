"""One frame of one item, for somebody who looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_core.batch.decode import Decoded, Job, decode_item
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.batch.turns import Rank
from vlmtool_core.records import ItemRef, ModelIdentity, Outcome, OutcomeStatus, ResultRow

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine


def predict_one(
    item: ItemRef,
    frame: int,
    spec: RunSpec,
    *,
    engine: Engine,
    model: ModelIdentity,
    rank: Rank = Rank.LOOK,
) -> ResultRow:
    """Decode and predict exactly as a run would, but before every run that waits.

    rank : LOOK where somebody waits for it, AHEAD where it may be looked at next

    Raises
    ------
    MissingError, PackError, TaskNotServedError, UsageError : no frame could ever succeed.
    """
    job = Job(item, only=frozenset({frame}))
    predictor = Predictor(engine, spec, batch_size=1, rank=rank)
    events = decode_item(job, spec, _known_hash, predictor)
    decoded = next(event for event in events if isinstance(event, Decoded))
    outcome = Outcome(OutcomeStatus.FAILED, error=decoded.error)
    if decoded.frame is not None:
        outcome = predictor([decoded.frame])[0]
    return ResultRow(
        item=item.item,
        sha256=decoded.item.sha256,
        frame=frame,
        time_s=None if decoded.frame is None else decoded.frame.time_s,
        task=spec.task,
        model=model,
        outcome=outcome,
        size=None if decoded.frame is None else decoded.frame.size,
    )


def _known_hash(item: ItemRef) -> str:
    from vlmtool_core.media.hashing import sha256_of_item

    return item.sha256 or sha256_of_item(item.path, item.files)
