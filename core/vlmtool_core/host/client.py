"""The program's side of the engine host: starts it, asks, and survives its death. No Qt."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from vlmtool_core.errors import CancelledError, HostError, VlmtoolError
from vlmtool_core.host.protocol import Message, decode, encode, error_from_json
from vlmtool_core.records import ErrorInfo, Json

LAST_LINES = 20

log = logging.getLogger(__name__)

OnJson = Callable[[Json], None]
OnError = Callable[[ErrorInfo], None]


@dataclass(frozen=True, slots=True)
class _Pending:
    kind: str
    on_progress: OnJson | None
    on_result: OnJson | None
    on_error: OnError | None


@dataclass
class _Process:
    """One host process, its threads and what it still owes."""

    popen: subprocess.Popen[bytes]
    pending: dict[int, _Pending] = field(default_factory=dict)
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    threads: list[threading.Thread] = field(default_factory=list)
    write_lock: threading.Lock = field(default_factory=threading.Lock)
    closing: bool = False


class HostClient:
    """Requests to an engine host that runs beside this program.

    Callbacks run in the client's reading thread, one at a time: hand results on, do not work
    there. When the host dies, each pending request gets a `HostError` with the reason, and the
    next request starts a new host.

    Parameters
    ----------
    command : how to start the host; the program's own Python by default
    on_exit : told the reason when the host dies unasked
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        on_exit: Callable[[str], None] | None = None,
    ) -> None:
        # -P: a file called torch.py in the current folder must not be imported.
        self._command = list(command or (sys.executable, "-P", "-m", "vlmtool_core.host"))
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._next_id = 1
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the running host, None when there is none."""
        process = self._process
        return None if process is None else process.popen.pid

    def start(self) -> None:
        """Start the host if it is not running.

        Raises
        ------
        HostError : it cannot be started, or the client is closed.
        """
        with self._lock:
            self._running()

    def request(
        self,
        kind: str,
        params: Mapping[str, Json] | None = None,
        on_progress: OnJson | None = None,
        on_result: OnJson | None = None,
        on_error: OnError | None = None,
    ) -> int:
        """Send a request and return its id; exactly one of on_result and on_error follows.

        Raises
        ------
        HostError : the host cannot be started, or the client is closed.
        """
        with self._lock:
            process = self._running()
            number, self._next_id = self._next_id, self._next_id + 1
            process.pending[number] = _Pending(kind, on_progress, on_result, on_error)
        _send(process, Message("request", number, dict(params or {}), kind))
        return number

    def cancel(self, number: int) -> None:
        """Ask the host to stop a request; it then ends with the error `cancelled`."""
        with self._lock:
            process = self._process
            if process is None or number not in process.pending:
                return
        self.request("cancel", {"id": number})

    def close(self, *, timeout_s: float = 5.0) -> None:
        """End the host: asked first, forced after `timeout_s`. Pending requests end cancelled."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            if process is not None:
                process.closing = True
        if process is not None:
            _send(process, Message("request", 0, {}, "shutdown"))
            _close_input(process)
            _end(process.popen, timeout_s)
            for thread in process.threads:
                if thread is not threading.current_thread():
                    thread.join(timeout_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _running(self) -> _Process:
        if self._closed:
            raise HostError("the engine host was closed", remedy="Start the program again.")
        if self._process is None:
            self._process = self._launch()
        return self._process

    def _launch(self) -> _Process:
        try:
            popen = subprocess.Popen(
                self._command,
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
        process = _Process(popen)
        for work, name in ((self._read, "host-out"), (_read_stderr, "host-err")):
            thread = threading.Thread(target=work, args=(process,), name=name, daemon=True)
            process.threads.append(thread)
            thread.start()
        log.info("engine host started, process %d", popen.pid)
        return process

    def _read(self, process: _Process) -> None:
        """The reading thread: hands out answers until the host's end, then clears up."""
        assert process.popen.stdout is not None
        with process.popen.stdout as lines:
            for line in lines:
                try:
                    self._deliver(process, decode(line))
                except VlmtoolError as error:
                    log.warning("the engine host broke the protocol: %s", error)
                except Exception:
                    log.exception("a callback of an engine host request failed")
        self._bury(process)

    def _deliver(self, process: _Process, message: Message) -> None:
        if message.id is None:
            log.warning("engine host: %s", message.body)
            return
        with self._lock:
            pending = process.pending.get(message.id)
            if message.type != "progress":
                process.pending.pop(message.id, None)
        if pending is None:
            return
        if message.type == "progress":
            _call(pending.on_progress, message.body)
        elif message.type == "result":
            _call(pending.on_result, message.body)
        elif message.type == "error":
            _call(pending.on_error, error_from_json(message.body))

    def _bury(self, process: _Process) -> None:
        """Wait for the dead process, say why it died, and fail what it still owed."""
        _end(process.popen, 5.0)
        process.threads[1].join(1.0)
        with self._lock:
            if self._process is process:
                self._process = None
            owed = list(process.pending.values())
            process.pending.clear()
        _close_input(process)
        error: VlmtoolError = CancelledError("the program was closed")
        if not process.closing:
            reason = _reason(process)
            log.error("%s", reason)
            error = HostError(reason)
            if self._on_exit is not None:
                self._on_exit(reason)
        for pending in owed:
            try:
                _call(pending.on_error, ErrorInfo.from_exception(error))
            except Exception:
                log.exception("a callback of an engine host request failed")


def _call(callback: Callable[[Json], None] | None, value: Json) -> None:
    if callback is not None:
        callback(value)


def _send(process: _Process, message: Message) -> None:
    assert process.popen.stdin is not None
    with process.write_lock:
        try:
            process.popen.stdin.write(encode(message))
            process.popen.stdin.flush()
        except (OSError, ValueError):
            # The host is dead; the reading thread finds its end and fails what is pending.
            log.info("request %s met a dead engine host", message.id)


def _read_stderr(process: _Process) -> None:
    assert process.popen.stderr is not None
    with process.popen.stderr as lines:
        for raw in lines:
            line = raw.decode(errors="replace").rstrip()
            process.last_lines.append(line)
            log.debug("engine host: %s", line)


def _end(popen: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait for the process; terminate it, then kill it, if it does not end by itself."""
    for force in (popen.terminate, popen.kill):
        try:
            popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            force()
        else:
            return
    popen.wait()


def _close_input(process: _Process) -> None:
    assert process.popen.stdin is not None
    with process.write_lock:
        try:
            process.popen.stdin.close()
        except OSError:
            log.debug("the pipe to the engine host was already broken")


def _reason(process: _Process) -> str:
    code = process.popen.returncode
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        reason = f"the engine host was killed by {name}{hint}"
    else:
        reason = f"the engine host ended with exit code {code}"
    words = [line for line in process.last_lines if line.strip()][-5:]
    return reason + (f". It last said: {' | '.join(words)}" if words else "")
