"""What is computed once when the starter packs are installed, so that nobody waits for it later."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from vlmtool_core.engine.texts import evidence
from vlmtool_core.errors import MissingPackError

if TYPE_CHECKING:
    from vlmtool_core.engine.packs.model_store import ModelStore

log = logging.getLogger(__name__)


def prepare(store: ModelStore, new: Collection[str]) -> None:
    """Encode the names of the classes, if `new` packs changed them and both packs are there.

    The texts go to the text cache under the fingerprint of the encoder's pack; should this fail,
    they are made on first use.
    """
    needed = {evidence.VISION, evidence.TEXT}
    if needed.isdisjoint(new):
        return
    try:
        for pack_id in needed:
            store.pack(pack_id)
    except MissingPackError:
        return  # done when the other one comes
    from vlmtool_core.engine.engine import Engine

    try:
        evidence.prepare_texts(Engine(store, device="cpu"))
    except Exception:
        log.exception("the texts of the classes could not be prepared")
