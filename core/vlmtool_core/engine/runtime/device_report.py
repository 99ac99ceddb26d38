"""Where models run on this machine, and why not on a GPU, in words."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """`kind` is "cuda" or "cpu"; `reason` says why it is not a GPU, `remedy` what would help."""

    kind: str
    name: str
    reason: str = ""
    remedy: str = ""


def describe_device(wanted: str = "auto") -> DeviceReport:
    """What device models would run on; imports torch, which takes seconds.

    wanted : "auto", "cpu" or "cuda", as in the settings

    Raises
    ------
    ImportError, OSError : torch cannot be imported.
    """
    import torch

    cpu = f"CPU, {torch.get_num_threads()} threads"
    if wanted == "cpu":
        remedy = "Set device to auto in the settings."
        return DeviceReport("cpu", cpu, "the settings choose the CPU", remedy)
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1024**3
        return DeviceReport("cuda", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB")
    return DeviceReport("cpu", cpu, *why_no_gpu(torch.version.cuda, driver=DRIVER.exists()))


def why_no_gpu(cuda: str | None, *, driver: bool) -> tuple[str, str]:
    """Reason and remedy. cuda : the CUDA version that torch was built for, None for CPU only."""
    if sys.platform == "darwin":
        return "no CUDA on this system", ""
    if cuda is None:
        return "this torch is built for CPU only", "Install a CUDA build of torch and torchvision."
    if sys.platform.startswith("linux") and not driver:
        return "no NVIDIA driver is loaded", "Only if there is an NVIDIA GPU: install its driver."
    return f"the driver offers no GPU to CUDA {cuda}", "Update the NVIDIA driver; see nvidia-smi."
