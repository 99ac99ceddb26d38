"""Logging for the two programs; the library itself only has loggers with a NullHandler."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler

from vlmtool_core import paths

logging.getLogger("vlmtool_core").addHandler(logging.NullHandler())


def configure_logging(program: str, *, debug: bool = False) -> None:
    """Log to `logs/<program>.log` (5 files of 2 MB), and to stderr too when `debug`."""
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handlers: list[logging.Handler] = []
    try:
        paths.log_dir().mkdir(parents=True, exist_ok=True)
        handlers.append(
            RotatingFileHandler(
                paths.log_dir() / f"{program}.log",
                maxBytes=2_000_000,
                backupCount=4,
                encoding="utf-8",
            )
        )
    except OSError:
        # A read-only profile must not stop the program; stderr is then the only log.
        debug = True
    if debug:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    for noisy in ("PIL", "pydicom", "matplotlib", "urllib3", "RapidOCR"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
