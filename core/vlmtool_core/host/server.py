"""The engine host's side: reads requests, works on them in threads, answers on one pipe.

The reading thread never works, so ping and cancel are answered at once. Quick requests (a
prediction somebody looks at) have a thread of their own and need not wait for a long run.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from vlmtool_core.errors import CancelledError, HostError, UsageError, VlmtoolError
from vlmtool_core.host.protocol import (
    MOST_BYTES,
    Message,
    decode,
    encode,
    id_of,
    progress_to_json,
)
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.json_codec import error_to_json
from vlmtool_core.records import ErrorInfo, Json

LEAST_INTERVAL_S = 0.1

log = logging.getLogger(__name__)


@dataclass
class Call:
    """One request at work: its parameters, and how it reports."""

    params: Mapping[str, Json]
    send: Callable[[dict[str, Json]], None]
    cancel: CancelToken = field(default_factory=CancelToken)
    _sent_at: float = 0.0
    _progress: Progress = field(default_factory=lambda: Progress(0))
    _curve: list[Json] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def progress(self, progress: Progress) -> None:
        """Report, at most ten times a second but always the end."""
        with self._lock:
            self._progress = progress
            if progress.done == progress.total or self._due():
                self._send_now()

    def point(self, point: Json) -> None:
        """A point of a training curve; points travel together, none is lost."""
        with self._lock:
            self._curve.append(point)
            if self._due():
                self._send_now()

    def stream(self, text: str) -> None:
        """A piece of an answer while it is written, as `text` of a progress message.

        Pieces that come close together travel together; none is lost or reordered, and all
        arrive before the result or the error.
        """
        with self._lock:
            self._text.append(text)
            if self._due():
                self._send_now()

    def flush(self) -> None:
        """Send the points and the text that are still waiting."""
        with self._lock:
            if self._curve or self._text:
                self._send_now()

    def _due(self) -> bool:
        return time.monotonic() - self._sent_at >= LEAST_INTERVAL_S

    def _send_now(self) -> None:
        self._sent_at = time.monotonic()
        message = progress_to_json(self._progress)
        if self._curve:
            message["curve"], self._curve = self._curve, []
        if self._text:
            message["text"], self._text = "".join(self._text), []
        self.send(message)


Handler = Callable[[Call], Json]


@dataclass(frozen=True, slots=True)
class _Running:
    call: Call
    future: Future[None]


class HostServer:
    """Serves one program over two byte streams until its end closes.

    handlers : request kind -> function; quick : kinds that must not wait for a long job
    """

    def __init__(
        self,
        reader: BinaryIO,
        writer: BinaryIO,
        handlers: Mapping[str, Handler],
        *,
        quick: frozenset[str] = frozenset(),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._quick_kinds = quick
        self._write_lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._running_lock = threading.Lock()
        self._jobs = ThreadPoolExecutor(1, thread_name_prefix="job")
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="quick")
        self._shut_down = False

    def serve(self) -> None:
        """Answer requests until `shutdown` or the end of the stream, then stop what runs."""
        while not self._shut_down and (line := self._reader.readline(MOST_BYTES)):
            if line.strip():
                self._receive(line)
        self._stop_all()

    def _receive(self, line: bytes) -> None:
        try:
            message = decode(line)
            if message.type != "request" or message.id is None:
                raise HostError("only requests are answered", field="type")
            self._dispatch(message.id, message)
        except VlmtoolError as error:
            log.warning("request refused: %s", error)
            self._send_error(id_of(line), error)

    def _dispatch(self, number: int, message: Message) -> None:
        if message.kind == "ping":
            self._send(Message("result", number, {"pid": os.getpid()}))
        elif message.kind == "cancel":
            stopped = self._cancel(message.body.get("id"))
            self._send(Message("result", number, {"cancelled": stopped}))
        elif message.kind == "shutdown":
            self._shut_down = True
            self._send(Message("result", number, {}))
        elif message.kind in self._handlers:
            self._start(number, message)
        else:
            known = ", ".join(sorted([*self._handlers, "ping", "cancel", "shutdown"]))
            raise UsageError(f"no request {message.kind!r}; there are: {known}", field="kind")

    def _start(self, number: int, message: Message) -> None:
        def send(progress: dict[str, Json]) -> None:
            self._send(Message("progress", number, progress))

        call = Call(message.body, send)
        handler = self._handlers[message.kind]
        pool = self._quick if message.kind in self._quick_kinds else self._jobs
        with self._running_lock:
            if number in self._running:
                raise HostError(f"request {number} is still running", field="id")
            future = pool.submit(self._work, number, message.kind, handler, call)
            self._running[number] = _Running(call, future)

    def _work(self, number: int, kind: str, handler: Handler, call: Call) -> None:
        reply: Message | None = None
        try:
            call.cancel.check()
            reply = Message("result", number, handler(call))
            encode(reply)
        except VlmtoolError as error:
            log.info("%s ended with %s: %s", kind, error.code, error)
            reply = _error(number, error)
        except (Exception, SystemExit) as error:
            log.exception("%s failed", kind)
            reply = _error(number, error)
        finally:
            with self._running_lock:
                self._running.pop(number, None)
            if reply is not None:
                call.flush()
                self._send(reply)

    def _cancel(self, number: Json) -> bool:
        """Ask a request to stop; one that has not begun is answered right away."""
        with self._running_lock:
            running = self._running.get(number) if isinstance(number, int) else None
        if running is None:
            return False
        running.call.cancel.cancel()
        if running.future.cancel():
            with self._running_lock:
                self._running.pop(number, None)
            self._send_error(number, CancelledError("stopped before it began"))
        return True

    def _stop_all(self) -> None:
        with self._running_lock:
            running = list(self._running.values())
        for one in running:
            one.call.cancel.cancel()
        for pool in (self._quick, self._jobs):
            pool.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + 2.0
        for one in running:
            _wait_for(one.future, deadline - time.monotonic())

    def _send_error(self, number: int | None, error: BaseException) -> None:
        self._send(_error(number, error))

    def _send(self, message: Message) -> None:
        line = encode(message)
        with self._write_lock:
            try:
                self._writer.write(line)
                self._writer.flush()
            except (BrokenPipeError, ValueError):
                # The program is gone; the end of its stream follows and ends the host.
                log.info("nobody reads the answer to request %s", message.id)


def _error(number: int | None, error: BaseException) -> Message:
    return Message("error", number, error_to_json(ErrorInfo.from_exception(error)))


def _wait_for(future: Future[None], seconds: float) -> None:
    from concurrent.futures import wait

    wait([future], timeout=max(0.0, seconds))
