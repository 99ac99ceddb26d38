"""One host process and its pipes: a thread writes, one reads answers, one reads its last words."""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence

from vlmtool_core.errors import HostError
from vlmtool_core.host.protocol import Message, encode

LAST_LINES = 20

log = logging.getLogger(__name__)


class HostProcess:
    """A running host. Sending never blocks, however busy the host is.

    Parameters
    ----------
    on_line : told each line of an answer, in the reading thread
    on_end : called in that thread when the host has ended and said its last words

    Raises
    ------
    HostError : it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_line: Callable[[HostProcess, bytes], None],
        on_end: Callable[[HostProcess], None],
    ) -> None:
        self._popen = _start(command)
        self._on_line = on_line
        self._on_end = on_end
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.closing = False
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in (
                (self._write, "host-in"),
                (self._read, "host-out"),
                (self._read_stderr, "host-err"),
            )
        ]

    def begin(self) -> None:
        """Start talking; separate, so that the owner knows the process by then."""
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, message: Message) -> None:
        self._outbox.put(encode(message))

    def kill(self) -> None:
        """End it at once: what hangs in a library's code obeys nothing else."""
        self._popen.kill()

    def close(self, timeout_s: float) -> None:
        """Close its input, wait for it, and force its end if need be."""
        self._outbox.put(None)
        self._end(timeout_s)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)

    def reason(self) -> str:
        """Why it has ended, in words."""
        code = self._popen.returncode
        if code is not None and code < 0:
            known = set(signal.Signals)
            name = signal.Signals(-code).name if -code in known else f"signal {-code}"
            hint = " (often: out of memory)" if name == "SIGKILL" else ""
            return f"the engine host was killed by {name}{hint}"
        return f"the engine host ended with exit code {code}"

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return " | ".join([line for line in self._last_lines if line.strip()][-5:])

    def _write(self) -> None:
        assert self._popen.stdin is not None
        with self._popen.stdin as pipe:
            while (line := self._outbox.get()) is not None:
                try:
                    pipe.write(line)
                    pipe.flush()
                except OSError:
                    # It is dead; the reading thread finds its end and fails what is pending.
                    log.info("a request met a dead engine host")
                    break
            try:
                pipe.close()
            except OSError:
                log.debug("the pipe to the engine host was already broken")

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            for line in lines:
                self._on_line(self, line)
        self._end(5.0)
        self._outbox.put(None)
        self._threads[2].join(1.0)
        self._on_end(self)

    def _read_stderr(self) -> None:
        assert self._popen.stderr is not None
        with self._popen.stderr as lines:
            for raw in lines:
                line = raw.decode(errors="replace").rstrip()
                self._last_lines.append(line)
                log.debug("engine host: %s", line)

    def _end(self, timeout_s: float) -> None:
        """Wait for it; terminate it, then kill it, if it does not end by itself."""
        for force in (self._popen.terminate, self._popen.kill):
            try:
                self._popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                force()
            else:
                return
        self._popen.wait()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise HostError(
            f"the engine host cannot be started: {error}", remedy="Run: vlmtool-cli doctor"
        ) from error
