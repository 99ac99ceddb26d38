"""A client of the rough host that waits for its answers."""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path
from typing import Any

from vlmtool_core.host.client import HostClient

ROUGH = (sys.executable, str(Path(__file__).with_name("rough_host.py")))


class Answers:
    """Collects what a client's callbacks say; `ask` waits for the answer."""

    def __init__(self, client: HostClient) -> None:
        self.client = client
        self.queue: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.progress: list[Any] = []
        self.begun = threading.Event()

    def send(self, kind: str, params: dict[str, Any] | None = None, *, topic: str = "") -> int:
        def on_progress(value: Any) -> None:
            self.progress.append(value)
            self.begun.set()

        return self.client.request(
            kind,
            params,
            on_progress,
            lambda value: self.queue.put(("result", value)),
            lambda error: self.queue.put(("error", error)),
            topic=topic,
        )

    def next(self) -> tuple[str, Any]:
        return self.queue.get(timeout=20)

    def ask(self, kind: str, params: dict[str, Any] | None = None) -> tuple[str, Any]:
        self.send(kind, params)
        return self.next()
