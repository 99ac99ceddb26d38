"""What benchmarks share: a measured number with its target, and a home with the starter packs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STARTER_HOME = Path(os.environ.get("VLMTOOL_HOME", REPOSITORY / ".vlmtool-home")).absolute()


@dataclass(frozen=True)
class Measurement:
    """A number; `target` is the most (or, with `at_least`, the least) that it may be."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def passed(self) -> bool:
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        target = "" if self.target is None else f"  (target {sign} {self.target:g} {self.unit})"
        verdict = "" if self.target is None else ("  ok" if self.passed else "  MISSED")
        return f"{self.name}: {self.value:.3g} {self.unit}{target}{verdict}"


@contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty `VLMTOOL_HOME` that has the starter packs."""
    before = os.environ.get("VLMTOOL_HOME")
    with tempfile.TemporaryDirectory(prefix="vlmtool-bench-") as folder:
        (Path(folder) / "models").symlink_to(STARTER_HOME / "models")
        os.environ["VLMTOOL_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["VLMTOOL_HOME"]
            else:
                os.environ["VLMTOOL_HOME"] = before
