"""Logging for the two programs; the library itself only has loggers with a NullHandler."""

from __future__ import annotations

import logging
import re
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from vlmtool_core import paths

logging.getLogger("vlmtool_core").addHandler(logging.NullHandler())


_handlers: list[logging.Handler] = []  # those of `configure_logging`
_ROOT = r"(?:[A-Za-z]:[\\/]|\\\\|/)"
# Two separators make a path: a single one is in many words ("and/or").
_PATHS = re.compile(
    rf"""(?P<quote>['"]){_ROOT}.*?(?P=quote)"""
    rf"""|(?<![\w/\\.<])(?!(?<=:)//){_ROOT}[^\n"'<>|:*?]*[\\/][^\n"'<>|:*?]*"""
)
_OWN = tuple({sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent)})


def without_paths(text: str) -> str:
    """The text with <path> in place of the paths of files, which may name people.

    Paths of the program and its libraries stay when they are quoted, as in a traceback.
    """

    def told(found: re.Match[str]) -> str:
        quote = found["quote"] or ""
        if quote and found[0][1:].startswith(_OWN):
            return found[0]
        return f"{quote}<path>{quote}"

    return _PATHS.sub(told, text)


class _Discreet(logging.Formatter):
    """Leaves the user's paths out of whatever is logged, exceptions included."""

    def format(self, record: logging.LogRecord) -> str:
        return without_paths(super().format(record))


def configure_logging(program: str, *, debug: bool = False) -> None:
    """Log to `logs/<program>.log` (5 files of 2 MB), and to stderr too when `debug`.

    The user's paths are logged only when `debug`. Where the folder cannot be written to, stderr
    is the only log. Called again, it replaces what it set up before.
    """
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    layout = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    formatter = logging.Formatter(layout) if debug else _Discreet(layout)
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
    while _handlers:
        old = _handlers.pop()
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
        _handlers.append(handler)
    for noisy in ("PIL", "pydicom", "matplotlib", "urllib3", "RapidOCR"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
