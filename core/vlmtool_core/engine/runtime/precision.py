"""Which numbers a pack computes with: bfloat16 only where it was seen to agree with float32.

What was found is kept in the cache folder, for one pack on one kind of machine.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core import paths
from vlmtool_core.engine.runtime.agreement import agreement_of, answers_of
from vlmtool_core.engine.runtime.numerics import BFLOAT16, FLOAT32
from vlmtool_core.errors import (
    CancelledError,
    EngineMemoryError,
    NotEnoughMemoryError,
    StorageError,
)
from vlmtool_core.records import Outcome, Task

if TYPE_CHECKING:
    from vlmtool_core.engine.family import Family
    from vlmtool_core.engine.packs.pack import Pack

# What a model must gain, lest numbers change for nothing.
LEAST_SPEEDUP = 1.15
_LONG_S = 4.0
_WRITING = frozenset({Task.CAPTION, Task.ASK})

# These say nothing of the pack: it is compared the next time.
_PASSING = (CancelledError, EngineMemoryError, NotEnoughMemoryError, MemoryError)

Load = Callable[[str], "Family"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a pack computes with, and why.

    agreement : the least of the cosines of embeddings, or of the overlaps of boxes, between
        float32 and bfloat16; None where nothing was compared
    speedup : time in float32 by time in bfloat16, of the same pictures
    """

    dtype: str
    reason: str
    agreement: float | None = None
    speedup: float | None = None

    def __str__(self) -> str:
        parts = [f"{self.dtype}: {self.reason}"]
        if self.agreement is not None:
            parts.append(f"agreement with float32 {self.agreement:.5f}")
        if self.speedup is not None:
            parts.append(f"{self.speedup:.1f} times as fast")
        return ", ".join(parts)


def decision_of(pack: Pack, device: str) -> Decision | None:
    """What was found for this pack on this machine, None while it was not tried."""
    return _read(_file(pack, device))


def _read(file: Path) -> Decision | None:
    try:
        return Decision(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("what was found about precision is damaged, %s: %s", file, error)
        return None


def known(pack: Pack, kind: type[Family], wanted: str, device: str) -> Decision | None:
    """What is clear without loading the pack; None where "auto" must first compare."""
    if BFLOAT16 not in kind.dtypes:
        return Decision(FLOAT32, "the family computes in nothing else")
    if wanted != "auto":
        return Decision(wanted, "chosen in the settings")
    if not is_fast(device):
        return Decision(FLOAT32, "this machine is no faster in bfloat16")
    if saved_as_bfloat16(pack):
        return Decision(BFLOAT16, "the weights were published in bfloat16")
    if _WRITING & set(pack.tasks):
        used = BFLOAT16 if device == "cuda" else FLOAT32
        return Decision(used, "texts are not compared")
    return decision_of(pack, device)


def compare(pack: Pack, device: str, load: Load) -> tuple[Decision, Family]:
    """Run made-up pictures through the pack in both precisions; keep what was found.

    load : loads the pack in a precision
    """
    exact = load(FLOAT32)
    try:
        reference, slow = _timed(exact)
    except _PASSING:
        raise
    except Exception as error:
        log.warning("%s cannot be compared: %s", pack.id, error, exc_info=True)
        return _kept(pack, device, Decision(FLOAT32, f"it was not compared: {error}")), exact
    del exact  # the two are never in memory together
    try:
        family = load(BFLOAT16)
        answers, fast = _timed(family)
    except _PASSING:
        raise
    except Exception as error:
        log.warning("%s does not work in bfloat16: %s", pack.id, error, exc_info=True)
        return _kept(pack, device, Decision(FLOAT32, "bfloat16 does not work")), load(FLOAT32)
    agrees, agreement = agreement_of(reference, answers)
    speedup = slow / max(fast, 1e-9)
    if not agrees:
        found = Decision(FLOAT32, "bfloat16 differs too much", agreement, speedup)
    elif speedup < LEAST_SPEEDUP and device == "cpu":
        found = Decision(FLOAT32, "bfloat16 is hardly faster", agreement, speedup)
    else:
        found = Decision(BFLOAT16, "it agrees with float32", agreement, speedup)
    _kept(pack, device, found)
    return found, family if found.dtype == BFLOAT16 else load(FLOAT32)


def _timed(family: Family) -> tuple[list[Outcome], float]:
    """What a family answers, and the seconds of processor time of a second run, which does not
    pay for warming up; of the first one where that is long anyway."""
    clock = time.process_time if family.device == "cpu" else time.perf_counter
    began = clock()
    answers = answers_of(family)
    taken = clock() - began
    if taken < _LONG_S:
        began = clock()
        answers_of(family)
        taken = clock() - began
    return answers, taken


def _kept(pack: Pack, device: str, decision: Decision) -> Decision:
    log.info("%s on %s: %s", pack.id, device, decision)
    try:
        paths.write_atomically(_file(pack, device), json.dumps(asdict(decision)).encode())
    except StorageError as error:
        # It only saves the comparison next time.
        log.warning("what was found about %s is not kept: %s", pack.id, error)
    return decision


def _file(pack: Pack, device: str) -> Path:
    machine = hashlib.sha256(_machine(device).encode()).hexdigest()
    return _folder(pack) / f"{device}-{machine[:16]}.json"


def _folder(pack: Pack) -> Path:
    return paths.cache_dir() / "precision" / pack.fingerprint[:32]


def all_decisions(pack: Pack) -> list[str]:
    """What was found for this pack, on every kind of machine that used this cache; "cpu: ..."."""
    found = []
    for file in sorted(_folder(pack).glob("*.json")):
        decision = _read(file)
        if decision is not None:
            found.append(f"{file.name.partition('-')[0]}: {decision}")
    return found


@functools.cache
def _machine(device: str) -> str:
    """What the comparison depends on besides the pack."""
    import torch

    if device == "cuda":
        return f"{torch.__version__} {torch.cuda.get_device_name()}"
    return f"{torch.__version__} {platform.machine()} {' '.join(cpu_features())}"


def saved_as_bfloat16(pack: Pack) -> bool:
    """Whether its `config.json` says that its weights have no more digits than that."""
    try:
        config = json.loads(pack.file("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    parts = [config, config.get("text_config")]
    named = [p.get("dtype") or p.get("torch_dtype") for p in parts if isinstance(p, dict)]
    return BFLOAT16 in named


def is_fast(device: str) -> bool:
    """Whether the device has instructions for bfloat16."""
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(cpu_features())


@functools.cache
def cpu_features() -> tuple[str, ...]:
    """Of "amx_bf16" and "avx512_bf16", those that this processor has and torch uses."""
    import torch

    found = {
        "amx_bf16": torch.cpu._is_amx_tile_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
    }
    return tuple(name for name, there in found.items() if there)
