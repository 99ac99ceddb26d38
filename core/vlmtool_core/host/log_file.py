"""The engine host's log: starts, crashes with their reason, and requests that failed.

Names of files and people stay out of it: errors are told by their code and field, and only a
host that was started with --debug writes their messages.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections import deque
from datetime import datetime
from pathlib import Path

from vlmtool_core import paths
from vlmtool_core.errors import VlmtoolError
from vlmtool_core.log import without_paths

PROGRAM = "vlmtool-host"
LAST_LINES = 200


def engine_log() -> Path:
    """The newest file of the log; older ones have a number behind their name."""
    return paths.log_dir() / f"{PROGRAM}.log"


def last_lines(count: int = LAST_LINES) -> list[str]:
    """The end of the log; nothing where there is none yet, or none can be written."""
    try:
        with engine_log().open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except OSError:
        return []


def note_crash(reason: str) -> None:
    """Add a line about the end of a host that could not write it any more."""
    time = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    line = f"{time} ERROR {__name__}: {without_paths(reason)}\n"
    try:
        engine_log().parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(engine_log(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(line)
    except OSError:
        logging.getLogger(__name__).info("the end of the engine host cannot be logged")


def log_failure(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log an error by its code and field; where it arose only if it is none of ours."""
    if isinstance(error, VlmtoolError):
        field = f" [{error.field}]" if error.field else ""
        log.warning("%s: %s%s", what, error.code, field)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[::-1])
        log.error("%s: %s at %s", what, type(error).__name__, where)
    log.debug("%s", what, exc_info=error)
