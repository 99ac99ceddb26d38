"""How much memory the machine has, how much of it models may take, and what a pack will need."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.engine.packs.pack import Pack

GB = 1024**3
# The rest is for the window, for decoded pictures and for other programs.
CPU_SHARE = 0.6
CUDA_SHARE = 0.9
# Buffers and the activations of a small batch, on top of the weights.
WORKING_ROOM = 1.2
# onnxruntime keeps the file's bytes beside the weights that it lays out anew.
ONNX_COPIES = 2
MOST_HEADER_BYTES = 100_000_000

_ITEM_BYTES = {"float32": 4, "bfloat16": 2}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32}


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the machine, its container or its accelerator, in bytes.

    available : what can be taken now without swapping
    """

    total: int
    available: int


def memory_of(device: str) -> Memory:
    """The memory that models on "cpu" or "cuda" live in."""
    return _cuda_memory() if device == "cuda" else _machine_memory()


def memory_budget(device: str, wanted_gb: int = 0) -> int:
    """Bytes that all loaded models may take together; a part of the memory when 0 is wanted."""
    if wanted_gb:
        return wanted_gb * GB
    share = CUDA_SHARE if device == "cuda" else CPU_SHARE
    return int(memory_of(device).total * share)


def memory_needed(pack: Pack, dtype: str) -> int:
    """Bytes that a pack takes when it is loaded: what its card says, else estimated.

    dtype : "float32" or "bfloat16", what its weights are loaded in
    """
    if pack.memory_bytes:
        return pack.memory_bytes * _ITEM_BYTES[dtype] // 4
    weights = [pack.file(file.name) for file in pack.files if file.name.endswith(".safetensors")]
    size = sum(_safetensors_bytes(path, dtype) for path in weights)
    size += sum(
        file.size * ONNX_COPIES for file in pack.files if not weights and _is_onnx(file.name)
    )
    return int((size or pack.size_bytes) * WORKING_ROOM)


def largest_model(room: int, dtype: str) -> int:
    """Parameters of the largest model that fits into so many bytes, its working room included."""
    return int(room / WORKING_ROOM / _ITEM_BYTES[dtype])


def free_memory(device: str) -> None:
    """Give back to the system what unloaded models have left behind."""
    gc.collect()
    torch = sys.modules.get("torch")
    if device == "cuda" and torch is not None:
        torch.cuda.empty_cache()
    # glibc keeps freed blocks of less than 32 MB, which is most of a model's tensors.
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _is_onnx(name: str) -> bool:
    return name.endswith((".onnx", ".onnx_data", ".onnx.data"))


def _safetensors_bytes(path: Path, dtype: str) -> int:
    """Of the tensors of a file when its floats are turned into `dtype`, by its header."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, MOST_HEADER_BYTES)))
        header.pop("__metadata__", None)
        return sum(
            math.prod(tensor["shape"]) * _bits(tensor["dtype"], dtype) // 8
            for tensor in header.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        # What is wrong with the file is said when its hash is checked.
        return path.stat().st_size if path.exists() else 0


def _bits(stored: str, dtype: str) -> int:
    return _ITEM_BYTES[dtype] * 8 if stored in _FLOATS else _BITS.get(stored, 64)


def _machine_memory() -> Memory:
    import psutil

    found = psutil.virtual_memory()
    total, available = int(found.total), int(found.available)
    for limit, used in _container_limits():
        total = min(total, limit)
        available = min(available, max(0, limit - used))
    return Memory(total, available)


def _container_limits(root: Path = Path("/sys/fs/cgroup")) -> list[tuple[int, int]]:
    """(limit, in use) in bytes of the control groups that this process sees, Linux only."""
    found = []
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = _number(root / limit_name), _number(root / used_name)
        if limit is not None and used is not None:
            stat = (root / limit_name).parent / "memory.stat"
            found.append((limit, max(0, used - _reclaimable(stat))))
    return found


def _number(path: Path) -> int | None:
    """None where there is no such file or no limit ("max")."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _reclaimable(stat: Path) -> int:
    """Bytes of cached files that the kernel drops when memory is short."""
    try:
        pairs = (line.split() for line in stat.read_text(encoding="ascii").splitlines())
        return sum(int(value) for name, value in pairs if name == "inactive_file")
    except (OSError, ValueError):
        return 0


def _cuda_memory() -> Memory:
    import torch

    free, total = torch.cuda.mem_get_info()
    # The allocator keeps what was freed and hands it out again.
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return Memory(int(total), int(free + kept))
