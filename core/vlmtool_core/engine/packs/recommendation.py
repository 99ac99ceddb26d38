"""The catalogue's recommendations: which models of a hub suit a domain, a task and a machine."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlmtool_core.engine.packs.licences import Terms, asks_for_consent
from vlmtool_core.engine.runtime.memory import CPU_SHARE, CUDA_SHARE, GB, WORKING_ROOM, memory_of
from vlmtool_core.records import Json, Task
from vlmtool_resources import files as resource_files

DOMAINS = ("general", "medical", "education", "security")
_STORED_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_LOADED_BYTES = {"cpu": 4, "cuda": 2}
_SHARES = {"cpu": CPU_SHARE, "cuda": CUDA_SHARE}


@dataclass(frozen=True, slots=True)
class Score:
    """A published result: what was measured, the value as it was published, who says so."""

    measure: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Recommended:
    """A model of a hub that is worth having.

    revision : what is asked for; pinned to a commit when it is pulled
    devices : "cpu" and "cuda", where it is fast enough to work with
    parameters_m : millions of numbers
    stored : what its numbers are stored in
    chat_template : whether it is spoken to in turns
    decoder : the `model_type` of its decoder, where the model alone does not say what it is
    """

    id: str
    title: str
    repo: str
    model_type: str
    architecture: str
    tasks: tuple[Task, ...]
    domains: tuple[str, ...]
    devices: tuple[str, ...]
    parameters_m: float
    stored: str
    licence: str
    note: str
    revision: str = "main"
    gated: bool = False
    chat_template: bool = False
    decoder: str = ""
    scores: tuple[Score, ...] = ()

    @property
    def download_bytes(self) -> int:
        """About; the exact size is known when it is pulled."""
        return int(self.parameters_m * 1e6 * _STORED_BYTES[self.stored])

    @property
    def consent(self) -> bool:
        """Whether its terms have to be accepted before it is pulled."""
        return asks_for_consent(Terms(self.licence, "", self.gated))

    def memory_bytes(self, device: str) -> int:
        """Needed when loaded: in float32 on "cpu", in bfloat16 on "cuda"."""
        return int(self.parameters_m * 1e6 * _LOADED_BYTES[device] * WORKING_ROOM)

    def fits(self, memory_gb: float, device: str) -> bool:
        """Whether a machine (or accelerator) with so much memory can hold it and is fast enough."""
        room = memory_gb * GB * _SHARES[device]
        return device in self.devices and self.memory_bytes(device) <= room

    def to_json(self, device: str) -> dict[str, Json]:
        """What the command line and the window show."""
        return {
            "id": self.id,
            "title": self.title,
            "hub": self.repo,
            "revision": self.revision,
            "tasks": [task.value for task in self.tasks],
            "domains": list(self.domains),
            "devices": list(self.devices),
            "parameters_m": self.parameters_m,
            "download_bytes": self.download_bytes,
            "memory_bytes": self.memory_bytes(device),
            "licence": self.licence,
            "consent": self.consent,
            "gated": self.gated,
            "note": self.note,
            "scores": [
                {"measure": s.measure, "value": s.value, "source": s.source} for s in self.scores
            ],
        }


@functools.cache
def recommended() -> tuple[Recommended, ...]:
    """All recommendations, in the order of the catalogue."""
    text = (resource_files() / "catalogue" / "models.toml").read_text(encoding="utf-8")
    return tuple(_card(values) for values in tomllib.loads(text)["model"])


def _card(values: dict[str, Any]) -> Recommended:
    return Recommended(
        tasks=tuple(Task(task) for task in values.pop("tasks")),
        domains=tuple(values.pop("domains")),
        devices=tuple(values.pop("devices")),
        scores=tuple(Score(**score) for score in values.pop("scores", ())),
        **values,
    )


def machine_memory(memory_gb: float | None, device: str) -> tuple[float, str]:
    """GB and "cpu" or "cuda": as given, else this machine's.

    device : "auto", "cpu" or "cuda"
    """
    if device == "auto":
        device = "cpu" if memory_gb is not None or not _has_accelerator() else "cuda"
    return memory_gb or memory_of(device).total / GB, device


def _has_accelerator() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def recommend(
    memory_gb: float, device: str, *, domain: str | None = None, task: Task | None = None
) -> list[Recommended]:
    """The models that this machine can hold, for each task the largest first.

    Parameters
    ----------
    memory_gb : of the machine, or of its accelerator when `device` is "cuda"
    """
    order: Sequence[Task] = tuple(Task)
    found = [
        card
        for card in recommended()
        if card.fits(memory_gb, device)
        and (domain is None or domain in card.domains)
        and (task is None or task in card.tasks)
    ]
    return sorted(found, key=lambda card: (order.index(card.tasks[0]), -card.parameters_m))
