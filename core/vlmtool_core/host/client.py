"""The program's side of the engine host: starts it, asks, watches it, survives its death. No Qt."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from vlmtool_core.errors import CancelledError, HostError, HostRestartedError, VlmtoolError
from vlmtool_core.host.log_file import note_crash
from vlmtool_core.host.process import HostProcess
from vlmtool_core.host.protocol import Message, decode, error_from_json
from vlmtool_core.host.watch import Limits, Verdict, Watch
from vlmtool_core.records import ErrorInfo, Json

# So many crashes in so many seconds, and the host is started again only when asked.
MOST_CRASHES = 3
CRASH_WINDOW_S = 60.0
HEARTBEAT = -1

log = logging.getLogger(__name__)

OnJson = Callable[[Json], None]
OnError = Callable[[ErrorInfo], None]
StateKind = Literal["off", "starting", "idle", "busy", "loading", "crashed", "halted"]


@dataclass(frozen=True, slots=True)
class HostState:
    """What the host is doing.

    kind : halted means that it crashed too often and is started again only when asked
    detail : the pack that is being loaded, or why it crashed
    """

    kind: StateKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Pending:
    on_progress: OnJson | None
    on_result: OnJson | None
    on_error: OnError | None


@dataclass(eq=False)
class _Host:
    """A host process, what it owes, and what is known of it.

    work : set while something is owed; gone : set when it has ended
    verdict : why it was ended; deliberate : the user wanted that
    """

    watch: Watch
    process: HostProcess = field(init=False)
    pending: dict[int, _Pending] = field(default_factory=dict)
    work: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    watcher: threading.Thread | None = None
    awake: bool = False
    loading: str = ""
    verdict: Verdict | None = None
    deliberate: bool = False


class HostClient:
    """Requests to an engine host that runs beside this program.

    Callbacks run in the client's reading thread, one at a time: hand results on, do not work
    there. When the host dies, each pending request gets a `HostError` with the reason, and the
    next request starts a new host. A host that does not answer, does not stop what was cancelled
    or makes no progress is ended; what it was not to blame for gets a `HostRestartedError`.

    Parameters
    ----------
    command : how to start the host; the program's own Python by default
    limits : how long a host is waited for
    on_exit : told the reason when the host dies unasked
    on_state : told what the host is doing, whenever that changes
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        limits: Limits | None = None,
        on_exit: Callable[[str], None] | None = None,
        on_state: Callable[[HostState], None] | None = None,
    ) -> None:
        # -P: a file called torch.py in the current folder must not be imported.
        self._command = list(command or (sys.executable, "-P", "-m", "vlmtool_core.host"))
        self._limits = limits or Limits()
        self._on_exit = on_exit
        self._on_state = on_state
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._host: _Host | None = None
        self._next_id = 1
        self._closed = False
        self._crashes: deque[float] = deque(maxlen=MOST_CRASHES)
        self._last_reason = ""
        self._told = HostState("off")

    @property
    def pid(self) -> int | None:
        """Process id of the running host, None when there is none."""
        host = self._host
        return None if host is None else host.process.pid

    @property
    def state(self) -> HostState:
        """What the host is doing now."""
        with self._lock:
            host = self._host
            if host is None:
                kind: StateKind = "halted" if self._halted() else "crashed"
                return HostState(kind if self._last_reason else "off", self._last_reason)
            if host.loading:
                return HostState("loading", host.loading)
            if not host.awake:
                return HostState("starting")
            return HostState("busy" if host.pending else "idle")

    def start(self) -> None:
        """Start the host if it is not running.

        Raises
        ------
        HostError : it cannot be started, crashed too often, or the client is closed.
        """
        with self._lock:
            host = self._running()
            self._heartbeat(host)
        self._tell_state()

    def restart(self) -> None:
        """Start a host although it crashed too often; one that runs is ended first.

        Raises
        ------
        HostError : it cannot be started, or the client is closed.
        """
        with self._lock:
            self._crashes.clear()
            host = self._host
            if host is not None:
                host.verdict = Verdict("the user asked for it", frozenset())
                host.deliberate = True
                self._host = None
                host.process.kill()
        self.start()

    def request(
        self,
        kind: str,
        params: Mapping[str, Json] | None = None,
        on_progress: OnJson | None = None,
        on_result: OnJson | None = None,
        on_error: OnError | None = None,
        *,
        topic: str = "",
    ) -> int:
        """Send a request and return its id; exactly one of on_result and on_error follows.

        topic : a newer request on the same topic replaces this one, which then ends `cancelled`

        Raises
        ------
        HostError : the host cannot be started, crashed too often, or the client is closed.
        """
        with self._lock:
            host = self._running()
            number, self._next_id = self._next_id, self._next_id + 1
            host.process.send(Message("request", number, dict(params or {}), kind, topic))
            host.pending[number] = _Pending(on_progress, on_result, on_error)
            host.watch.sent(number, kind)
            host.work.set()
        self._tell_state()
        return number

    def cancel(self, number: int) -> None:
        """Ask the host to stop a request; it then ends with the error `cancelled`."""
        with self._lock:
            host = self._host
            if host is None or number not in host.pending:
                return
            host.watch.cancelled(number)
        self.request("cancel", {"id": number})

    def close(self, *, timeout_s: float = 5.0) -> None:
        """End the host: asked first, forced after `timeout_s`. Pending requests end cancelled."""
        with self._lock:
            self._closed = True
            host, self._host = self._host, None
        if host is not None:
            host.process.closing = True
            host.process.send(Message("request", 0, {}, "shutdown"))
            host.process.close(timeout_s)
            self._stop_watching(host)

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

    # Starting and state ----------------------------------------------------------------------

    def _running(self) -> _Host:
        if self._closed:
            raise HostError("the engine host was closed", remedy="Start the program again.")
        if self._host is None:
            if self._halted():
                raise HostError(
                    f"the engine crashed {MOST_CRASHES} times within a minute and is not started "
                    f"again by itself; the last time: {self._last_reason}",
                    remedy="Read the engine log, close other programs, then restart the engine.",
                )
            self._host = self._launch()
        return self._host

    def _halted(self) -> bool:
        many = len(self._crashes) == MOST_CRASHES
        return many and time.monotonic() - self._crashes[0] < CRASH_WINDOW_S

    def _launch(self) -> _Host:
        host = _Host(Watch(self._limits))
        host.process = HostProcess(
            self._command,
            lambda _process, line: self._hear(host, line),
            lambda _process: self._bury(host),
        )
        host.process.begin()
        watcher = threading.Thread(target=self._watch, args=(host,), name="host-watch", daemon=True)
        host.watcher = watcher
        watcher.start()
        log.info("engine host started, process %d", host.process.pid)
        return host

    def _tell_state(self) -> None:
        if self._on_state is None:
            return
        with self._telling:
            state = self.state
            if state != self._told:
                self._told = state
                self._on_state(state)

    # Answers ---------------------------------------------------------------------------------

    def _hear(self, host: _Host, line: bytes) -> None:
        try:
            self._deliver(host, decode(line))
        except VlmtoolError as error:
            log.warning("the engine host broke the protocol: %s", error)
        except Exception:
            log.exception("a callback of an engine host request failed")

    def _deliver(self, host: _Host, message: Message) -> None:
        with self._lock:
            host.awake = True
            host.watch.heard()
            pending = self._note(host, message)
        self._tell_state()
        if message.type == "error" and message.id is None:
            log.warning("engine host: %s", error_from_json(message.body).code)
        if pending is None:
            return
        if message.type == "progress":
            _call(pending.on_progress, message.body)
        elif message.type == "result":
            _call(pending.on_result, message.body)
        elif message.type == "error":
            _call(pending.on_error, error_from_json(message.body))

    def _note(self, host: _Host, message: Message) -> _Pending | None:
        """Keep the books; returns the request that the message belongs to."""
        if message.type == "state":
            host.loading = str(_field(message.body, "loading") or "")
        elif message.id == HEARTBEAT:
            host.loading = str(_field(message.body, "loading") or "")
            host.watch.running(set(_field(message.body, "running") or ()))
        elif message.id is not None and message.type == "progress":
            host.watch.moved(message.id)
            return host.pending.get(message.id)
        elif message.id is not None:
            host.watch.ended(message.id)
            return host.pending.pop(message.id, None)
        return None

    # Watching --------------------------------------------------------------------------------

    def _watch(self, host: _Host) -> None:
        """The watching thread: heartbeats while something is owed, and the end of a bad host."""
        while host.work.wait() and not host.gone.wait(self._limits.ping):
            with self._lock:
                if not host.watch.busy:
                    host.work.clear()
                    continue
                host.verdict = host.verdict or host.watch.verdict()
                if host.verdict is None:
                    self._heartbeat(host)
                    continue
            log.error("the engine host is ended: %s", host.verdict.reason)
            host.process.kill()
            return

    def _heartbeat(self, host: _Host) -> None:
        if host.watch.asked():
            host.process.send(Message("request", HEARTBEAT, {}, "ping"))

    def _stop_watching(self, host: _Host) -> None:
        host.gone.set()
        host.work.set()
        if host.watcher is not None and host.watcher is not threading.current_thread():
            host.watcher.join(1.0)

    # Death -----------------------------------------------------------------------------------

    def _bury(self, host: _Host) -> None:
        """Say why it died, and fail what it still owed."""
        closing, verdict = host.process.closing, host.verdict
        crashed = not (closing or host.deliberate)
        reason = verdict.reason if verdict else host.process.reason()
        words = "" if verdict else host.process.last_words()
        full = f"{reason}. It last said: {words}" if words else reason
        with self._lock:
            if self._host is host:
                self._host = None
            owed = dict(host.pending)
            host.pending.clear()
            if crashed:
                self._last_reason = full
                self._crashes.append(time.monotonic())
        self._stop_watching(host)
        if crashed:
            log.error("%s", full)
            note_crash(reason)
            if self._on_exit is not None:
                self._on_exit(full)
        self._tell_state()
        for number, pending in owed.items():
            error = CancelledError("the program was closed") if closing else None
            self._fail(pending, error or _error_of(number, verdict, full))

    def _fail(self, pending: _Pending, error: VlmtoolError) -> None:
        try:
            _call(pending.on_error, ErrorInfo.from_exception(error))
        except Exception:
            log.exception("a callback of an engine host request failed")


def _error_of(number: int, verdict: Verdict | None, reason: str) -> VlmtoolError:
    """Who is to blame is told so; the others may simply ask again."""
    if verdict is None or number in verdict.guilty:
        return HostError(reason)
    return HostRestartedError(f"the engine was restarted: {reason}")


def _field(value: Json, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _call(callback: Callable[[Any], None] | None, value: Any) -> None:
    if callback is not None:
        callback(value)
