"""`python -m vlmtool_core.host`: the engine host process. Stdout carries the protocol only."""

from __future__ import annotations

import logging
import os
import sys

from vlmtool_core import __version__
from vlmtool_core.extensions import connect_plugins
from vlmtool_core.host.log_file import PROGRAM
from vlmtool_core.host.requests import Requests, handlers, place_of
from vlmtool_core.host.server import HostServer
from vlmtool_core.log import configure_logging

log = logging.getLogger(__name__)


def main() -> None:
    """Serve the program that started this process until it closes our standard input."""
    # Libraries print, some of them from C: give them stderr and keep the real pipes.
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    configure_logging(PROGRAM, debug="--debug" in sys.argv[1:])
    log.info("engine host started, vlmtool %s, process %d", __version__, os.getpid())
    connect_plugins()
    requests = Requests()
    server = HostServer(reader, writer, handlers(requests), place=place_of)
    requests.loading.connect(server.tell_loading)
    server.serve()
    log.info("engine host ended")
    logging.shutdown()
    sys.stderr.flush()
    # A forward pass may still be running in a thread; it must not keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
