"""`python -m vlmtool_core.host`: the engine host process. Stdout carries the protocol only."""

from __future__ import annotations

import logging
import os
import sys

from vlmtool_core.extensions import connect_plugins
from vlmtool_core.host.requests import QUICK, handlers
from vlmtool_core.host.server import HostServer
from vlmtool_core.log import configure_logging


def main() -> None:
    """Serve the program that started this process until it closes our standard input."""
    # Libraries print, some of them from C: give them stderr and keep the real pipes.
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    configure_logging("vlmtool-host")
    connect_plugins()
    HostServer(reader, writer, handlers(), quick=QUICK).serve()
    logging.shutdown()
    sys.stderr.flush()
    # A forward pass may still be running in a thread; it must not keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
