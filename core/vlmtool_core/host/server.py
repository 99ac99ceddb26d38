"""The engine host's side: reads requests, works on them in threads, answers on one pipe.

The reading thread never works, so ping and cancel are answered at once even while a model is
busy. Requests wait in lanes: what somebody looks at need not wait for a long run.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from vlmtool_core.errors import (
    CancelledError,
    EngineMemoryError,
    HostError,
    UsageError,
    VlmtoolError,
)
from vlmtool_core.host.call import Call, Handler
from vlmtool_core.host.lanes import Lane, Place, Ticket
from vlmtool_core.host.log_file import log_failure
from vlmtool_core.host.protocol import MOST_BYTES, Message, decode, encode, id_of
from vlmtool_core.json_codec import error_to_json
from vlmtool_core.records import ErrorInfo, Json

__all__ = ["Call", "Handler", "HostServer"]

# How long a cancelled request may take to end by itself before it is answered and abandoned.
GRACE_S = 0.1
END_S = 2.0

log = logging.getLogger(__name__)

PlaceOf = Callable[[str, Mapping[str, Json]], Place]


@dataclass(eq=False)
class _Request:
    """begun, answered, replaced : see `HostServer`; only changed under its lock"""

    number: int
    kind: str
    topic: str
    place: Place
    call: Call
    ticket: Ticket | None = None
    begun: bool = False
    answered: bool = False
    replaced: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def stop_error(self) -> CancelledError:
        if self.replaced:
            return CancelledError("replaced by a newer one", remedy="Wait for the newer one.")
        if not self.begun:
            return CancelledError("stopped before it began")
        return CancelledError("stopped by the user")


class HostServer:
    """Serves one program over two byte streams until its end closes.

    Parameters
    ----------
    handlers : request kind -> function
    place : of a kind and its parameters, where it waits; one lane for all when left out
    """

    def __init__(
        self,
        reader: BinaryIO,
        writer: BinaryIO,
        handlers: Mapping[str, Handler],
        *,
        place: PlaceOf = lambda _kind, _params: Place("work"),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._place = place
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._requests: dict[int, _Request] = {}
        self._lanes: dict[str, Lane] = {}
        self._loading = ""
        self._shut_down = False

    def serve(self) -> None:
        """Answer requests until `shutdown` or the end of the stream, then stop what runs."""
        while not self._shut_down and (line := self._reader.readline(MOST_BYTES)):
            if line.strip():
                self._receive(line)
        self._stop_all()

    def tell_loading(self, pack_id: str) -> None:
        """Tell the program which model is being loaded, "" when it is there."""
        self._loading = pack_id
        self._send(Message("state", None, {"loading": pack_id}))

    def _receive(self, line: bytes) -> None:
        try:
            message = decode(line)
            if message.type != "request" or message.id is None:
                raise HostError("only requests are answered", field="type")
            self._dispatch(message.id, message)
        except VlmtoolError as error:
            log_failure(log, "a request was refused", error)
            self._send(_error(id_of(line), error))

    def _dispatch(self, number: int, message: Message) -> None:
        if message.kind == "ping":
            self._send(Message("result", number, self._state()))
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

    def _state(self) -> dict[str, Json]:
        """What a heartbeat brings: the requests at work, abandoned ones too."""
        with self._lock:
            running = sorted(n for n, request in self._requests.items() if request.begun)
        return {"pid": os.getpid(), "running": running, "loading": self._loading}

    def _start(self, number: int, message: Message) -> None:
        def send(progress: dict[str, Json]) -> None:
            self._send(Message("progress", number, progress))

        place = self._place(message.kind, message.body)
        call = Call(message.body, send)
        request = _Request(number, message.kind, message.topic, place, call)
        with self._lock:
            if number in self._requests:
                raise HostError(f"request {number} is still running", field="id")
            older = [r for r in self._requests.values() if r.topic and r.topic == request.topic]
            self._requests[number] = request
            lane = self._lanes.setdefault(place.lane, Lane(place.lane))
        for replaced in older:
            replaced.replaced = True
            self._stop(replaced)
        request.ticket = lane.put(place.rank, lambda: self._work(request))

    def _work(self, request: _Request) -> None:
        with self._lock:
            request.begun = True
        try:
            request.call.cancel.check()
            result = self._handlers[request.kind](request.call)
            line = encode(Message("result", request.number, result))
            request.call.flush()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (logged without names of files)
            line = encode(_error(request.number, _as_told(request, error)))
            request.call.flush()
        finally:
            with self._lock:
                self._requests.pop(request.number, None)
            request.ended.set()
        self._answer(request, line)

    def _answer(self, request: _Request, line: bytes) -> None:
        """A request gets one answer; what comes after it is dropped."""
        with self._lock:
            answered, request.answered = request.answered, True
        if not answered:
            self._write(line, request.number)

    def _cancel(self, number: Json) -> bool:
        with self._lock:
            request = self._requests.get(number) if isinstance(number, int) else None
        if request is None:
            return False
        self._stop(request)
        return True

    def _stop(self, request: _Request) -> None:
        """Ask it to stop; one that has not begun is answered right away."""
        request.call.cancel.cancel()
        lane = self._lanes[request.place.lane]
        if request.ticket is not None and lane.withdraw(request.ticket):
            with self._lock:
                self._requests.pop(request.number, None)
            request.ended.set()
            self._abandon(request)
        elif request.place.abandoned:
            timer = threading.Timer(GRACE_S, self._abandon, (request,))
            timer.daemon = True
            timer.start()

    def _abandon(self, request: _Request) -> None:
        self._answer(request, encode(_error(request.number, request.stop_error())))

    def _stop_all(self) -> None:
        with self._lock:
            requests = list(self._requests.values())
        for lane in self._lanes.values():
            lane.close()
        for request in requests:
            request.call.cancel.cancel()
        deadline = time.monotonic() + END_S
        for request in requests:
            if request.begun:
                request.ended.wait(max(0.0, deadline - time.monotonic()))

    def _send(self, message: Message) -> None:
        self._write(encode(message), message.id)

    def _write(self, line: bytes, number: int | None) -> None:
        with self._write_lock:
            try:
                self._writer.write(line)
                self._writer.flush()
            except (BrokenPipeError, ValueError):
                # The program is gone; the end of its stream follows and ends the host.
                log.info("nobody reads the answer to request %s", number)


def _as_told(request: _Request, error: BaseException) -> BaseException:
    """The error that the program is told, and the log without names of files or people."""
    if isinstance(error, CancelledError):
        return request.stop_error() if request.call.cancel.cancelled else error
    if not isinstance(error, VlmtoolError) and _is_out_of_memory(error):
        error = EngineMemoryError(f"memory ran out: {error}")
    log_failure(log, f"request {request.number} ({request.kind}) failed", error)
    return error


def _is_out_of_memory(error: BaseException) -> bool:
    # Imported only now: a host must be there at once.
    from vlmtool_core.batch.predict import is_out_of_memory

    return is_out_of_memory(error)


def _error(number: int | None, error: BaseException) -> Message:
    return Message("error", number, error_to_json(ErrorInfo.from_exception(error)))
