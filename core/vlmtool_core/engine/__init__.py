"""The engine: model packs, families, and `Engine`, which turns frames into outcomes."""

from vlmtool_core.engine.engine import Engine
from vlmtool_core.engine.heads import ProbeHead
from vlmtool_core.engine.packs.model_store import ModelStore
from vlmtool_core.engine.packs.pack import Card, Pack, catalogue

__all__ = ["Card", "Engine", "ModelStore", "Pack", "ProbeHead", "catalogue"]
