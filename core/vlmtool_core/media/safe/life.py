"""Signs of life from long loops inside one call, so that the watchdog knows that they go on."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 0.5

_tell: Callable[[], None] | None = None
_last = 0.0


def on_sign(tell: Callable[[], None] | None) -> None:
    """Call `tell` at signs of life, at most twice a second; the worker process sets it."""
    global _tell
    _tell = tell


def sign() -> None:
    """Say that the present call goes on; costs next to nothing, and nothing outside a worker."""
    global _last
    if _tell is None:
        return
    now = time.monotonic()
    if now - _last >= INTERVAL_S:
        _last = now
        _tell()
