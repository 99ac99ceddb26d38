"""The checks of `vlmtool-cli doctor`, each a function that returns what it found."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING

from vlmtool_core import paths
from vlmtool_core.cli.doctor_libraries import desktop_libraries
from vlmtool_core.errors import VlmtoolError, in_gb
from vlmtool_core.records import Json

if TYPE_CHECKING:
    from vlmtool_core.engine.runtime.memory import Memory

OPENCV = "opencv-python-headless"
LITTLE_SPACE = 2 * 1024**3
NO_SPACE = 200 * 1024**2
OLDEST_TORCH_MINOR = 11
# torchvision 0.26 belongs to torch 2.11, 0.27 to 2.12, and so on.
TORCHVISION_OFFSET = 15


class State(StrEnum):
    """NOTE: worth knowing. WARNING: something does not work. MISSING: nothing works without."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """What was found, and what to do about it."""

    name: str
    state: State
    text: str
    remedy: str = ""

    def to_json(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "state": str(self.state),
            "text": self.text,
            "remedy": self.remedy,
        }


def examine(*, thorough: bool = True) -> list[Check]:
    """All checks. thorough : also those that import torch, which takes seconds."""
    parts: list[Callable[[], Iterator[Check]]] = [
        _python,
        _torch_pair,
        *([_device, _memory] if thorough else []),
        _opencv,
        _desktop,
        _folders,
        _space,
        _settings,
        _packs,
        _plugins,
    ]
    return [check for part in parts for check in part()]


def _python() -> Iterator[Check]:
    yield Check("Python", State.OK, ".".join(map(str, sys.version_info[:3])))


def torch_pair(torch: str, torchvision: str) -> Check:
    """Whether two versions of torch and torchvision belong together."""
    found = f"torch {torch}, torchvision {torchvision}"
    remedy = "Install both anew: pip install --force-reinstall -c constraints.txt torch torchvision"
    major, minor = _numbers(torch)
    vision_major, vision_minor = _numbers(torchvision)
    if (major, minor) < (2, OLDEST_TORCH_MINOR):
        return Check("torch", State.MISSING, f"{found}: too old", remedy)
    if major == 2 and (vision_major, vision_minor) != (0, minor + TORCHVISION_OFFSET):
        return Check("torch", State.MISSING, f"{found}: they do not belong together", remedy)
    one_is_cpu = torch.endswith("+cpu") != torchvision.endswith("+cpu")
    if one_is_cpu and ("+" in torch or "+" in torchvision):
        return Check("torch", State.MISSING, f"{found}: one is built for CPU only", remedy)
    return Check("torch", State.OK, found)


def _numbers(text: str) -> tuple[int, int]:
    parts = text.split("+")[0].split(".")
    return int(parts[0]), int(parts[1])


def _torch_pair() -> Iterator[Check]:
    try:
        yield torch_pair(version("torch"), version("torchvision"))
    except PackageNotFoundError as error:
        name = error.name or "torch"
        yield Check(name, State.MISSING, "not installed", "pip install torch torchvision")


def _device() -> Iterator[Check]:
    """Where models run, and why not on a GPU."""
    from vlmtool_core.engine.runtime.device_report import describe_device

    try:
        import torchvision.ops  # noqa: F401  (fails when the pair does not fit)

        found = describe_device()
    except (ImportError, OSError, RuntimeError) as error:
        remedy = "pip install --force-reinstall -c constraints.txt torch torchvision"
        yield Check("device", State.MISSING, f"torch cannot be imported: {error}", remedy)
        return
    state = State.NOTE if found.reason else State.OK
    text = f"{found.name}: {found.reason}" if found.reason else found.name
    yield Check("device", state, text, found.remedy)


def memory_check(needs: Mapping[str, int], budget: int, memory: Memory) -> Check:
    """Which models fit. needs : bytes by installed pack; budget : bytes for all loaded models"""
    from vlmtool_core.engine.runtime.memory import largest_model

    room = min(budget, memory.available)
    free = f"{in_gb(memory.available)} of {in_gb(memory.total)} free"
    billions = largest_model(room, "float32") / 1e9
    text = (
        f"models may take {in_gb(budget)} together; {free}: "
        f"room for about {billions:.1f} billion parameters in float32"
    )
    large = [f"{pack} ({in_gb(need)})" for pack, need in sorted(needs.items()) if need > room]
    if not large:
        return Check("memory", State.OK, text)
    remedy = "Use smaller models, close other programs, or raise memory_budget_gb in the settings."
    return Check("memory", State.WARNING, f"{text}; these do not fit: {', '.join(large)}", remedy)


def _memory() -> Iterator[Check]:
    from vlmtool_core.engine import Engine
    from vlmtool_core.engine.runtime.memory import memory_of
    from vlmtool_core.settings import load_settings

    try:
        engine = Engine(device=load_settings().device)
        needs = {pack.id: engine.memory_needed(pack) for pack in engine.store.installed()}
        yield memory_check(needs, engine.memory_budget, memory_of(engine.device))
    except (VlmtoolError, ImportError, OSError) as error:
        # What is wrong with the device, the settings or the packs has a check of its own.
        yield Check("memory", State.NOTE, f"not known: {error}")


def opencv_check(names: set[str]) -> Check:
    """Whether exactly the headless OpenCV is installed; several overwrite each other."""
    found = sorted(names)
    if found == [OPENCV]:
        return Check("OpenCV", State.OK, f"{OPENCV} {version(OPENCV)}")
    if not found:
        return Check("OpenCV", State.MISSING, "not installed", f"pip install {OPENCV}")
    remedy = f"pip uninstall -y {' '.join(found)} && pip install {OPENCV}"
    text = f"{', '.join(found)}: only {OPENCV} may be there, others break the window"
    return Check("OpenCV", State.MISSING, text, remedy)


def _opencv() -> Iterator[Check]:
    names = {(d.metadata["Name"] or "").lower() for d in distributions()}
    yield opencv_check({name for name in names if name.startswith("opencv")})


def _desktop() -> Iterator[Check]:
    try:
        found = version("PySide6-Essentials")
    except PackageNotFoundError:
        remedy = "For the window: pip install 'vlmtool[desktop]'"
        yield Check("window", State.NOTE, "PySide6 is not installed", remedy)
        return
    yield Check("window", State.OK, f"PySide6 {found}")
    if sys.platform.startswith("linux"):
        for name, missing, needed, remedy in desktop_libraries():
            text = f"missing: {', '.join(missing)}" if missing else "all there"
            wrong = State.MISSING if needed else State.NOTE
            yield Check(name, wrong if missing else State.OK, text, remedy)


def _folders() -> Iterator[Check]:
    folders = (paths.models_dir(), paths.cache_dir(), paths.config_dir(), paths.log_dir())
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            text = f"{folder} cannot be written: {error.strerror}"
            remedy = f"Correct its permissions, or set {paths.HOME_VARIABLE} to another folder."
            yield Check("folders", State.MISSING, text, remedy)
            return
    yield Check("folders", State.OK, f"models in {folders[0]}")


def _space() -> Iterator[Check]:
    folder = paths.models_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GB free at {folder}"
    remedy = f"Free some space, or set {paths.HOME_VARIABLE} to a larger disk."
    if free < NO_SPACE:
        yield Check("disk", State.MISSING, text, remedy)
    elif free < LITTLE_SPACE:
        yield Check("disk", State.WARNING, text, remedy)
    else:
        yield Check("disk", State.OK, text)


def _settings() -> Iterator[Check]:
    from vlmtool_core.settings import load_settings, settings_file

    try:
        load_settings()
    except VlmtoolError as error:
        remedy = "Correct the field, or delete the file to have the defaults."
        yield Check("settings", State.MISSING, str(error), remedy)
    else:
        there = settings_file().exists()
        yield Check("settings", State.OK, str(settings_file()) if there else "defaults")


def _packs() -> Iterator[Check]:
    from vlmtool_core.engine import ModelStore
    from vlmtool_core.engine.packs.pack import catalogue

    store = ModelStore()
    try:
        there = {pack.id for pack in store.installed()}
        damaged = store.damaged()
    except VlmtoolError as error:
        yield Check("model packs", State.WARNING, str(error), error.remedy)
        return
    for pack, problem in damaged:
        yield Check("model packs", State.WARNING, f"{pack}: {problem}", problem.remedy)
    starter = [card.id for card in catalogue().values() if "starter" in card.groups]
    missing = [pack for pack in starter if pack not in there]
    if missing:
        text = f"not installed: {', '.join(missing)}"
        yield Check("model packs", State.NOTE, text, "Run: vlmtool-cli models pull starter")
    elif not damaged:
        yield Check("model packs", State.OK, ", ".join(sorted(there)))


def _plugins() -> Iterator[Check]:
    from vlmtool_core.extensions import check_plugins
    from vlmtool_core.hooks.manager import plugin_manager

    manager = plugin_manager()
    check_plugins(manager)
    yield Check("plugins", State.OK, ", ".join(manager.plugins))
    for failure in manager.failures:
        text = f"{failure.name}: {failure.reason}"
        yield Check("plugins", State.WARNING, text, failure.remedy)
