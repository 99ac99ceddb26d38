"""The engine as the user's settings want it."""

from __future__ import annotations

from vlmtool_core.engine.engine import Engine
from vlmtool_core.engine.packs.model_store import ModelStore
from vlmtool_core.engine.runtime.numerics import Numerics
from vlmtool_core.settings import Settings, load_settings


def engine_as_set(store: ModelStore | None = None, settings: Settings | None = None) -> Engine:
    """An engine on the device and with the numbers of the settings.

    store : where the packs are; the user's model store when left out
    settings : those of the settings file when left out

    Raises
    ------
    FormatError : the settings file is damaged.
    """
    settings = settings or load_settings()
    return Engine(store, device=settings.device, numerics=Numerics.of(settings))
