"""The engine: model packs, families, and `Engine`, which turns frames into outcomes."""

from vlmtool_core.engine.model_store import ModelStore
from vlmtool_core.engine.packs import Card, Pack, catalogue

__all__ = ["Card", "ModelStore", "Pack", "catalogue"]
