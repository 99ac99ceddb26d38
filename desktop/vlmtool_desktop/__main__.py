"""`vlmtool [PROJECT or files]`: opens the window, or says what is missing to do so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_USAGE = """Usage: vlmtool [PROJECT | FILE...] [--debug]

Opens the window; a project folder is opened, other files are offered to a new project.
The command line of the same program is vlmtool-cli.
"""


def _missing(error: ImportError) -> str:
    """What to install, for a message instead of a traceback."""
    if error.name and error.name.split(".")[0] in {"PySide6", "shiboken6", "pyqtgraph"}:
        return "The window needs PySide6 and pyqtgraph. Run: pip install 'vlmtool[desktop]'"
    return (
        f"The window cannot be loaded: {error}\n"
        "A shared library of the system is missing. Run: vlmtool-cli doctor"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the GUI script; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given):
        sys.stdout.write(_USAGE)
        return 0
    debug = "--debug" in given
    files = [Path(argument).absolute() for argument in given if argument != "--debug"]
    try:
        from vlmtool_desktop.application import run_application
    except ImportError as error:
        sys.stderr.write(f"{_missing(error)}\n")
        return 3
    return run_application(files, debug=debug)


if __name__ == "__main__":
    sys.exit(main())
