"""The main function of a worker process: chunks in, batches out, until the driver is gone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

from vlmtool_core.batch.executors.worker import Found, WorkerSpec
from vlmtool_core.errors import EngineError, VlmtoolError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.log import configure_logging

READY = "ready"
DONE = "done"

_STDOUT, _STDERR = 1, 2

log = logging.getLogger(__name__)


def work_for(connection: Connection, spec: WorkerSpec, number: int) -> None:
    """Say READY, then answer each list of jobs by its batches (`Found`) and DONE.

    An error that concerns every frame is sent in place of an answer, and ends the worker.
    """
    # Ctrl-C and stray prints belong to the driver: it decides, and its stdout holds results.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(_STDERR, _STDOUT)
    threading.Thread(target=_end_with_the_driver, name="driver-watch", daemon=True).start()
    spec.prepare_process()
    configure_logging(f"worker-{number}")
    try:
        _work(connection, spec)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        log.info("the driver is gone or needs no more")
    except VlmtoolError as error:
        log.info("the run ends with an error", exc_info=True)
        connection.send(error)
    except Exception as error:
        log.exception("the worker cannot go on")
        connection.send(EngineError(f"{type(error).__name__}: {error}"))


def _end_with_the_driver() -> None:
    """End the process when the driver is gone, even in the middle of a long inference."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)


def _work(connection: Connection, spec: WorkerSpec) -> None:
    # Imported only now: it may load what reads the environment that was just set up.
    from vlmtool_core.batch.executors.worker import BatchWorker

    worker = BatchWorker(spec)
    connection.send(READY)
    cancel = CancelToken()
    open_chunks: deque[Iterator[Found]] = deque()
    while True:
        while not open_chunks or connection.poll():
            # Its items are decoded from now on, while those before it are predicted.
            open_chunks.append(worker.start(connection.recv(), cancel))
        found = next(open_chunks[0], None)
        if found is None:
            open_chunks.popleft()
            connection.send(DONE)
        else:
            connection.send(found)
