"""A source whose file is open in a worker: every call goes there, every answer is checked."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError, FormatError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.safe import failures, wire
from vlmtool_core.media.safe.pool import Pool, failure, pool, seconds_for, stored_bytes
from vlmtool_core.media.safe.process import GoneError, WorkerProcess
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame

# Answers that a stream is asked for ahead of its reader.
AHEAD = 2
_TRIES = 3


class _Binding:
    """Where a source is open at present. Let go of when the source is closed or forgotten."""

    def __init__(self, worker: WorkerProcess, handle: int) -> None:
        self.worker = worker
        self.handle = handle
        self.open = True

    def release(self) -> None:
        if self.open:
            self.open = False
            self.worker.sources -= 1
            self.worker.closed.append(self.handle)


class RemoteSource(SourceBase):
    """What `open_media` gives for a file that is decoded in a worker; see `media.safe`.

    files : the slices of a series
    connect : "module:function" that makes the readers of plugins known, "" without them

    Raises
    ------
    MediaError : the file cannot be opened, or its decoder did not survive it
    """

    def __init__(self, path: Path, files: Sequence[Path] = (), connect: str = "") -> None:
        self._path = path
        self._open_request = {"op": "open", "path": path, "files": files, "connect": connect}
        self._size_bytes = sum(stored_bytes(file) for file in files or (path,))
        self._binding: _Binding | None = None
        self._let_go: Any = None
        self._kept: dict[tuple[str, str], Any] = {}
        self._closed = False
        self._names: dict[str, str] = {}
        self._constants: frozenset[str] = frozenset()
        self._retried(lambda _binding: None)

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """See `MediaSource.frame`."""
        return self._checked(self._call("frame", index, max_side=max_side, window=window))

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        """See `MediaSource.frames`."""
        for frame in self._stream("frames", indices, max_side=max_side):
            yield self._checked(frame)

    def __getattr__(self, name: str) -> Any:
        kind = None if name.startswith("_") else self._names.get(name)
        if kind is None:
            raise AttributeError(f"{self.__dict__.get('_path')}: nothing called {name!r} there")
        if kind == "get":
            return self._remembered("get", name, {"op": "get", "name": name})
        return partial(self._stream if kind == "stream" else self._call, name)

    def cancel(self) -> None:
        """Stop what another thread has this source do: its call raises `CancelledError`."""
        binding = self._binding
        if binding is not None and binding.worker.busy:
            binding.worker.end("cancel")

    def close(self) -> None:
        """Release the files; the source cannot be used afterwards."""
        self._closed = True
        binding, self._binding = self._binding, None
        if binding is None or self._let_go is None:
            return
        self._let_go()
        # Elsewhere open files can be moved, and the worker is told with the next request.
        if sys.platform == "win32":
            self._wait_until_closed(binding.worker)

    def _wait_until_closed(self, worker: WorkerProcess) -> None:
        """Have the worker close what was closed here, unless another call holds it up."""
        if worker.alive and worker.lock.acquire(blocking=False):
            try:
                worker.wait(worker.post({"op": "idle"}, self._limit_s), self._limit_s)
            except GoneError:
                self._let_go = None
            finally:
                worker.lock.release()

    @property
    def _limit_s(self) -> float:
        info: MediaInfo | None = self.__dict__.get("_info")
        pixels = info.width * info.height if info is not None else 0
        return seconds_for(self._size_bytes, pixels)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        asked = {"op": "call", "name": name, "arguments": arguments, "options": options}
        if arguments or options:
            return self._ask(asked)
        return self._remembered("call", name, asked)

    def _remembered(self, kind: str, name: str, request: Mapping[str, object]) -> Any:
        if name not in self._constants:
            return self._ask(request)
        if (kind, name) not in self._kept:
            self._kept[kind, name] = self._ask(request)
        return self._kept[kind, name]

    def _ask(self, request: Mapping[str, object]) -> Any:
        def work(binding: _Binding) -> Any:
            return self._answer_to(binding, {**request, "handle": binding.handle}).value("result")

        return self._retried(work)

    def _answer_to(self, binding: _Binding, request: Mapping[str, object]) -> wire.Incoming:
        worker, limit_s = binding.worker, self._limit_s
        return self._taken(worker, worker.wait(pool().post(worker, request, limit_s), limit_s))

    def _taken(self, worker: WorkerProcess, answer: wire.Incoming) -> wire.Incoming:
        """The answer, its news taken and its error raised."""
        pool().check_spent(worker, answer.message, self._path)
        if "info" in answer.message:
            self._info = self._checked_info(answer.value("info"))
        for key in ("error", "failure"):
            if key in answer.message and not answer.message.get("items"):
                raise failures.from_json(answer.message[key], self._path)
        return answer

    def _retried(self, work: Callable[[_Binding], Any]) -> Any:
        """The result of `work` on an open source; again in another worker if its own ended
        because of another file.
        """
        for tried in range(_TRIES):
            try:
                return work(self._bound())
            except GoneError as gone:
                if gone.mine or tried == _TRIES - 1:
                    raise failure(gone, self._path, self._limit_s) from gone
            except FormatError as error:
                raise self._disobeyed(error) from error
        raise AssertionError("the loop returns or raises")

    def _disobeyed(self, error: FormatError) -> DamagedMediaError:
        """A worker that sends what no worker sends is not trusted any further."""
        if self._binding is not None:
            self._binding.worker.end("crash")
        return failures.crashed(self._path, f"broke the protocol: {error.message}")

    def _bound(self) -> _Binding:
        """Where the source is open; it is opened (again) where need be."""
        if self._closed:
            raise ValueError(f"{self._path}: the source is closed")
        if self._binding is not None and self._binding.worker.alive:
            return self._binding
        if self._let_go is not None:
            self._let_go()
        chosen: Pool = pool()
        binding = _Binding(chosen.choose(), next(chosen.numbers))
        self._let_go = weakref.finalize(self, binding.release)
        self._let_go.atexit = False
        try:
            self._open_in(binding)
        except BaseException:
            self._let_go()
            raise
        self._binding = binding
        return binding

    def _open_in(self, binding: _Binding) -> None:
        request = {**self._open_request, "handle": binding.handle}
        answer = self._answer_to(binding, request)
        names: Any = answer.value("names")
        constants: Any = answer.value("constants")
        self._names, self._constants = dict(names), frozenset(constants)

    def _stream(self, name: str, *arguments: Any, **options: Any) -> Generator[Any, None, None]:
        """Items of a generator method, asked for ahead of whoever reads them."""
        number = next(pool().numbers)
        begin = {"op": "stream", "name": name, "stream": number}
        begin |= {"arguments": arguments, "options": options}
        binding: _Binding = self._retried(lambda found: self._begun(found, begin))
        worker, limit_s = binding.worker, self._limit_s
        ask = {"op": "next", "handle": binding.handle, "stream": number}
        worker.streams += 1
        asked: deque[int] = deque()
        try:
            asked.extend(pool().post(worker, ask, limit_s) for _ in range(AHEAD))
            while asked:
                answer = self._taken(worker, worker.wait(asked.popleft(), limit_s))
                if not answer.message.get("end"):
                    asked.append(pool().post(worker, ask, limit_s))
                items: Any = answer.value("items")
                yield from items
                if "failure" in answer.message:
                    raise failures.from_json(answer.message["failure"], self._path)
        except GoneError as gone:
            raise failure(gone, self._path, limit_s) from gone
        except FormatError as error:
            raise self._disobeyed(error) from error
        finally:
            worker.streams -= 1
            self._stop(binding, number, asked)

    def _begun(self, binding: _Binding, begin: Mapping[str, object]) -> _Binding:
        self._answer_to(binding, {**begin, "handle": binding.handle})
        return binding

    def _stop(self, binding: _Binding, number: int, asked: deque[int]) -> None:
        """Nobody reads on."""
        worker = binding.worker
        if not asked or not worker.alive:
            return
        try:
            stop = worker.post({"op": "stop", "handle": binding.handle, "stream": number}, 10.0)
            worker.drop([*asked, stop])
        except GoneError:
            asked.clear()

    def _checked(self, frame: Any) -> Frame:
        pixels: Any = getattr(frame, "pixels", None)
        fits = isinstance(frame, Frame) and isinstance(pixels, np.ndarray) and pixels.ndim == 3
        if not fits or pixels.dtype != np.uint8 or pixels.shape[2] != 3 or not pixels.size:
            raise DamagedMediaError("its decoder gave no picture", path=self._path)
        return frame

    def _checked_info(self, info: Any) -> MediaInfo:
        if not isinstance(info, MediaInfo) or not (
            isinstance(info.width, int) and isinstance(info.height, int)
        ):
            raise DamagedMediaError("its decoder gave no facts", path=self._path)
        return info
