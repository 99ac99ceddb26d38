"""The picture behind a prediction, as the model was given it."""

from __future__ import annotations

from dataclasses import replace

from vlmtool_core.engine.pictures.seen import Seen, what_the_model_saw
from vlmtool_core.media import open_media
from vlmtool_core.store.records import ItemRecord, PredictionRecord


def seen_by(item: ItemRecord, prediction: PredictionRecord) -> Seen:
    """What the model saw of `item` when it made `prediction`.

    Raises
    ------
    MediaError : the item is not there or cannot be decoded any more
    """
    with open_media(item.path, item.files) as source:
        seen = what_the_model_saw(source, prediction.frame, prediction.outcome.provenance)
    if prediction.sha256 and prediction.sha256 != item.sha256:
        changed = "the file has changed since"
        return replace(seen, exact=False, differs=(changed, *seen.differs))
    return seen
