"""`python -m tests.bench [NAME...]`: run the benchmarks of this folder and print their numbers.

A benchmark is a module with `bench() -> Iterable[Measurement]`. Exit code 1 when a target is
missed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NO_BENCHMARKS = {
    "__main__", "__init__", "common", "engine_side", "engine_gpu", "photographs", "real_sizes",
}  # fmt: skip


def main(names: list[str]) -> int:
    there = sorted({p.stem for p in Path(__file__).parent.glob("*.py")} - NO_BENCHMARKS)
    unknown = set(names) - set(there)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(there)}")
        return 2
    missed = 0
    for name in names or there:
        print(f"[{name}]", flush=True)
        for measurement in importlib.import_module(f"tests.bench.{name}").bench():
            print(f"  {measurement}", flush=True)
            missed += not measurement.passed
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
