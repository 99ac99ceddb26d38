"""`python -m vlmtool_core.media.safe.worker`: opens and decodes what the program asks for.

One request after the other, each answered in turn; ends when its standard input is closed.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from vlmtool_core.media.base import MediaInfo
from vlmtool_core.media.opening import open_here
from vlmtool_core.media.safe import failures, life, limits, wire
from vlmtool_core.media.safe.arena import Places
from vlmtool_core.settings import Settings, fix_settings

# What a stream sends at once: enough to make the way cheap, little enough to come soon.
BATCH_S = 0.004
BATCH_BYTES = 1 << 20
BATCH_ITEMS = 64

log = logging.getLogger(__name__)


@dataclass
class _Open:
    """A source, and the `info` that the program knows of it."""

    source: Any
    info: MediaInfo
    streams: dict[int, Iterator[Any]] = field(default_factory=dict)


class Worker:
    """Serves one program. Its sources and streams have the numbers that the program gave them."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, places: Places) -> None:
        self._reader = reader
        self._writer = writer
        self._places = places
        self._open: dict[int, _Open] = {}
        self._limit_s = 0.0
        life.on_sign(self._alive)

    def serve(self) -> None:
        """Answer until the program closes the pipe."""
        while (request := wire.read(self._reader)) is not None:
            self._limit_s = float(request.message.get("limit", 0))
            limits.end_after(self._limit_s)
            self._answer(request)
            limits.end_after(0)

    def _alive(self) -> None:
        limits.end_after(self._limit_s)
        self._send({"alive": True})

    def _send(self, values: dict[str, object]) -> None:
        outgoing, message = wire.pack(values, self._places.put)
        outgoing.write(self._writer, outgoing.packed(message)[0])

    def _answer(self, request: wire.Incoming) -> None:
        message = request.message
        answer: dict[str, object] = {"id": message["id"]}
        try:
            self._tidy(message)
            work: Callable[[wire.Incoming], dict[str, object]] = _OPERATIONS[message["op"]](self)
            self._send({**answer, **work(request), **self._news(message)})
        except BrokenPipeError:
            raise
        except BaseException as error:  # a decoder written in Rust panics with one of these
            log.info("a call failed", exc_info=True)
            self._fail(answer, message, error)

    def _fail(self, answer: dict[str, object], message: wire.Message, error: BaseException) -> None:
        spent = failures.ran_out_of_memory(error)
        told = failures.to_json(error)
        self._send({**answer, "error": told, "spent": spent, **self._news(message)})

    def _tidy(self, message: wire.Message) -> None:
        """What the program tells along with a request."""
        for offset in message.get("free", ()):
            self._places.release(offset)
        for handle in message.get("closed", ()):
            self._close(handle)
        if "settings" in message:
            settings = Settings(**message["settings"])
            fix_settings(settings)
            limits.limit_memory(settings.decode_memory_mb * 1_000_000)

    def _close(self, handle: int) -> None:
        found = self._open.pop(handle, None)
        if found is not None:
            found.streams.clear()
            found.source.close()

    def _news(self, message: wire.Message) -> dict[str, object]:
        """The `info` of the source asked, where it is another one by now."""
        found = self._open.get(message.get("handle", -1))
        if found is None or found.source.info is found.info:
            return {}
        found.info = found.source.info
        return {"info": found.info}

    def open(self, request: wire.Incoming) -> dict[str, object]:
        path, files, connect = (request.value(key) for key in ("path", "files", "connect"))
        if connect:
            module, _, name = str(connect).partition(":")
            getattr(import_module(module), name)()
        assert isinstance(path, Path)
        source = open_here(path, tuple(files))  # type: ignore[arg-type]
        self._open[request.message["handle"]] = _Open(source, source.info)
        constants = sorted(getattr(source, "constants", ()))
        return {"info": source.info, "names": public_names(source), "constants": constants}

    def call(self, request: wire.Incoming) -> dict[str, object]:
        method = getattr(self._source(request), str(request.message["name"]))
        arguments: Any = request.value("arguments")
        options: Any = request.value("options")
        return {"result": method(*arguments, **options)}

    def get(self, request: wire.Incoming) -> dict[str, object]:
        return {"result": getattr(self._source(request), str(request.message["name"]))}

    def run(self, request: wire.Incoming) -> dict[str, object]:
        module, _, name = str(request.message["name"]).partition(":")
        arguments: Any = request.value("arguments")
        return {"result": getattr(import_module(module), name)(*arguments)}

    def stream(self, request: wire.Incoming) -> dict[str, object]:
        found = self._open[request.message["handle"]]
        found.streams[request.message["stream"]] = iter(self.call(request)["result"])  # type: ignore[call-overload]
        return {}

    def next(self, request: wire.Incoming) -> dict[str, object]:
        streams = self._open[request.message["handle"]].streams
        number = request.message["stream"]
        items: list[object] = []
        if number not in streams:
            return {"items": items, "end": True}
        try:
            ended = _fill(items, streams[number])
        except BaseException as error:
            # What came before is good and goes first.
            del streams[number]
            log.info("a stream failed", exc_info=True)
            spent = failures.ran_out_of_memory(error)
            return {"items": items, "end": True, "failure": failures.to_json(error), "spent": spent}
        if ended:
            del streams[number]
        return {"items": items, "end": ended}

    def stop(self, request: wire.Incoming) -> dict[str, object]:
        found = self._open.get(request.message["handle"])
        stream: Any = found.streams.pop(request.message["stream"], None) if found else None
        if stream is not None and hasattr(stream, "close"):
            stream.close()
        return {}

    def idle(self, _request: wire.Incoming) -> dict[str, object]:
        return {}

    def rest(self, _request: wire.Incoming) -> dict[str, object]:
        self._places.trim()
        return {}

    def _source(self, request: wire.Incoming) -> Any:
        return self._open[request.message["handle"]].source


_OPERATIONS: dict[str, Callable[[Worker], Callable[[wire.Incoming], dict[str, object]]]] = {
    "open": lambda worker: worker.open,
    "call": lambda worker: worker.call,
    "get": lambda worker: worker.get,
    "run": lambda worker: worker.run,
    "stream": lambda worker: worker.stream,
    "next": lambda worker: worker.next,
    "stop": lambda worker: worker.stop,
    "idle": lambda worker: worker.idle,
    "rest": lambda worker: worker.rest,
}


def _fill(items: list[object], stream: Iterator[Any]) -> bool:
    """Take from a stream what goes into one answer; whether the stream ended with it."""
    begun, size = time.monotonic(), 0
    for item in stream:
        items.append(item)
        size += _bytes_of(item)
        full = size >= BATCH_BYTES or len(items) >= BATCH_ITEMS
        if full or time.monotonic() - begun >= BATCH_S:
            return False
    return True


def _bytes_of(item: Any) -> int:
    """Of the arrays in what a stream gives, near enough."""
    parts = item if isinstance(item, tuple) else (getattr(item, "pixels", item),)
    return sum(int(getattr(part, "nbytes", 0)) for part in parts)


def public_names(source: object) -> dict[str, str]:
    """What may be asked of a source: name -> "call", "stream" or "get"."""
    names = dict.fromkeys((n for n in vars(source) if not n.startswith("_")), "get")
    for name in dir(type(source)):
        if not name.startswith("_"):
            found = inspect.getattr_static(type(source), name)
            if isinstance(found, (classmethod, staticmethod)):
                found = found.__func__
            streams = inspect.isgeneratorfunction(found)
            names[name] = "stream" if streams else "call" if callable(found) else "get"
    return names


def main() -> None:
    """Serve the program that started this process; its arguments say where the memory is."""
    # Libraries print, some of them from C: give them stderr and keep the real pipes.
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    limits.end_with_the_program()
    handle, size = sys.argv[1:3]
    try:
        Worker(reader, writer, Places(handle, int(size))).serve()
    except BrokenPipeError:
        log.info("the program is gone")
    # Decoders' threads must not keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
