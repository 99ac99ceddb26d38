"""What a worker does to itself, so that the system stops it where the program cannot."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How often a worker looks whether the program that started it is still there.
_LOOK_S = 2.0
# A worker writes no files but what libraries complain about on standard error.
_MOST_WRITTEN = 16 << 20
# The program's own watchdog goes first; this is for when the program is gone.
_GRACE_S = 5.0

_baseline: list[int] = []


def limits_itself() -> bool:
    """Whether this system keeps a worker to its memory; otherwise the program has to watch it."""
    return sys.platform == "linux"


def limit_memory(size: int) -> None:
    """Let allocations fail beyond `size` bytes more than the process had at the first call."""
    if sys.platform == "win32" or not limits_itself():
        return
    import resource

    if not _baseline:
        _baseline.append(_data_bytes())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN, most))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _baseline[0] + size
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


@contextmanager
def writing() -> Iterator[None]:
    """Let the program's own code write large files in a worker for the time of a block."""
    if sys.platform == "win32" or not _baseline:
        yield
        return
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def _data_bytes() -> int:
    """Private memory that the process may write to, as RLIMIT_DATA counts it."""
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def end_after(seconds: float) -> None:
    """Have the system end the process then, whatever it is doing; 0 takes that back."""
    if sys.platform != "win32":
        import signal

        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_S if seconds else 0)


def end_with_the_program() -> None:
    """End when the program that started this process is gone, even in the middle of a call."""
    if sys.platform != "win32":
        thread = threading.Thread(target=_watch, args=(os.getppid(),), daemon=True)
        thread.start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(0)
