"""Which device models run on."""

from __future__ import annotations

from vlmtool_core.errors import UsageError


def choose_device(wanted: str) -> str:
    """ "cpu" or "cuda"; "auto" means CUDA if there is one.

    Raises
    ------
    UsageError : no such device, or there is none here.
    """
    import torch

    if wanted not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"unknown device {wanted!r}", remedy="Use auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UsageError("there is no CUDA device", remedy="Use device auto or cpu.")
    return "cuda" if available and wanted != "cpu" else "cpu"
