"""Limits that are checked against a file's header before anything of its size is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, MediaNotFoundError
from vlmtool_core.settings import Settings, fixed_settings, load_settings, settings_file

# A picture that takes nearly all free memory makes the machine swap before it fails.
MEMORY_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Budget:
    """What one item may take.

    max_pixels : per frame; max_file_bytes : as stored; max_frames : per item
    max_memory : bytes that decoding may take; max_seconds : without progress
    """

    max_pixels: int
    max_file_bytes: int
    max_frames: int
    max_memory: int = 4_096_000_000
    max_seconds: float = 30.0


def current_budget() -> Budget:
    """The limits of the settings file; read again only when it has changed."""
    return _of(settings_in_force())


def settings_in_force() -> Settings:
    """The settings of this process; the same object until they change."""
    fixed = fixed_settings()
    if fixed is not None:
        return fixed
    path = settings_file()
    return _loaded(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _loaded(path: Path, _modified_ns: int) -> Settings:
    return load_settings(path)


@lru_cache(maxsize=4)
def _of(settings: Settings) -> Budget:
    return Budget(
        settings.max_megapixels * 1_000_000,
        settings.max_file_mb * 1_000_000,
        settings.max_frames,
        settings.decode_memory_mb * 1_000_000,
        float(settings.decode_seconds),
    )


def check_file(path: Path, budget: Budget | None = None) -> int:
    """Size of a readable file in bytes.

    Raises
    ------
    MediaNotFoundError : it is not there, no file, or may not be read
    DamagedMediaError : it is empty
    BudgetExceededError : it is larger than `max_file_mb`
    """
    budget = budget or current_budget()
    try:
        if not path.is_file():
            reason = "not a file" if path.exists() else "no such file"
            raise MediaNotFoundError(reason, path=path)
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error
    if size == 0:
        raise DamagedMediaError("the file is empty (0 bytes)", path=path)
    if size > budget.max_file_bytes:
        raise BudgetExceededError(
            f"the file has {size / 1e6:.0f} MB, the limit max_file_mb is "
            f"{budget.max_file_bytes / 1e6:.0f} MB",
            path=path,
            field="max_file_mb",
        )
    return size


def check_pixels(path: Path, width: int, height: int, budget: Budget | None = None) -> None:
    """Refuse a frame of more pixels than `max_megapixels`, or of none.

    Raises
    ------
    DamagedMediaError, BudgetExceededError
    """
    budget = budget or current_budget()
    if width <= 0 or height <= 0:
        raise DamagedMediaError(f"the header says {width} x {height} pixels", path=path)
    if width * height > budget.max_pixels:
        raise BudgetExceededError(
            f"{width} x {height} pixels are {width * height / 1e6:.1f} megapixels, "
            f"the limit max_megapixels is {budget.max_pixels / 1e6:.0f}",
            path=path,
            field="max_megapixels",
        )


def check_frames(path: Path, count: int, budget: Budget | None = None) -> None:
    """Refuse an item of more frames than `max_frames`.

    Raises
    ------
    BudgetExceededError
    """
    budget = budget or current_budget()
    if count > budget.max_frames:
        raise BudgetExceededError(
            f"{count} frames, the limit max_frames is {budget.max_frames}",
            path=path,
            field="max_frames",
        )


def check_memory(path: Path, needed_bytes: int) -> None:
    """Refuse to decode what does not fit into `decode_memory_mb` or into the free memory.

    Raises
    ------
    BudgetExceededError
    """
    if needed_bytes < 64_000_000:
        return
    limit = current_budget().max_memory
    if needed_bytes > limit:
        raise BudgetExceededError(
            f"decoding takes {needed_bytes / 1e6:.0f} MB of memory, "
            f"the limit decode_memory_mb is {limit / 1e6:.0f}",
            path=path,
            field="decode_memory_mb",
        )
    import psutil

    free = psutil.virtual_memory().available
    if needed_bytes > free * MEMORY_SHARE:
        raise BudgetExceededError(
            f"decoding takes {needed_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB of memory "
            f"are free (at most {MEMORY_SHARE:.0%} of it is used)",
            path=path,
            remedy="Close other programs, or make a smaller copy of the picture.",
        )


def scaled_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """(width, height) with the longer side at most `max_side`; never enlarged, never 0."""
    longer = max(width, height)
    if max_side is None or longer <= max_side:
        return width, height
    scale = max_side / longer
    return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))
