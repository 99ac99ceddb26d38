"""One request at work in the engine host: its parameters, and how it reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vlmtool_core.host.protocol import progress_to_json
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.records import Json

LEAST_INTERVAL_S = 0.1


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
