"""How models compute: which numbers, which runtime; chosen by the user, decided for each pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmtool_core.records import Json, Outcome

if TYPE_CHECKING:
    from vlmtool_core.engine.family import Family, Surroundings
    from vlmtool_core.settings import Settings

FLOAT32 = "float32"
BFLOAT16 = "bfloat16"
TORCH = "torch"


@dataclass(frozen=True, slots=True)
class Numerics:
    """What the user asks for.

    precision : "float32", "bfloat16", or "auto": bfloat16 where it agrees and is faster
    backend : "torch", or "openvino" for the parts that a family can run with it
    compiled : let torch compile those parts
    """

    precision: str = FLOAT32
    backend: str = TORCH
    compiled: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Numerics:
        return cls(settings.precision, settings.backend, settings.compile)


@dataclass(frozen=True, slots=True)
class Place:
    """What one family gets from its engine (`Surroundings`)."""

    engine: Surroundings
    dtype: str = FLOAT32
    backend: str = TORCH
    compiled: bool = False

    @property
    def device(self) -> str:
        return self.engine.device

    def family(self, pack_id: str) -> Family:
        return self.engine.family(pack_id)


def with_numerics(outcome: Outcome, numerics: Mapping[str, Json]) -> Outcome:
    """The outcome with what differs from float32 in torch as a part of its provenance."""
    if not numerics:
        return outcome
    return replace(outcome, provenance={**outcome.provenance, **numerics})
