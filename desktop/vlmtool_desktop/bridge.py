"""The only place where threads and the engine host meet Qt.

Work is handed to a thread; its result or its error arrives on the main thread, exactly once.
Results for a *lane* that something newer has taken are dropped.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, Qt, Signal

from vlmtool_core.errors import ProjectNotFoundError
from vlmtool_core.jobs import JobRunner, Progress
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.job_list import Job, JobList

if TYPE_CHECKING:
    from vlmtool_core.host.client import HostClient
    from vlmtool_core.project import Project

log = logging.getLogger(__name__)
T = TypeVar("T")
Failed = Callable[[ErrorInfo], None]


class _Superseded(Exception):
    """Something newer took the lane before this work began."""


@dataclass(frozen=True)
class _Delivery:
    """A result or an error on its way to the main thread."""

    callback: Callable[[Any], None] | None
    value: Any
    lane: str | None = None
    ticket: int = 0


class Bridge(QObject):
    """Threads for the project, the viewer and thumbnails, and the engine host."""

    failed = Signal(object)
    host_changed = Signal(object)
    _delivered = Signal(object)

    def __init__(self, parent: QObject | None = None, *, stuck_s: float | None = None) -> None:
        super().__init__(parent)
        self._stuck_s = stuck_s
        self.jobs = JobList()
        self._project: Project | None = None
        self._project_runner = JobRunner("project", 1)
        self._viewer_runner = JobRunner("viewer", 1)
        self._thumbnail_runner = JobRunner("thumbnail", 2)
        self._host_runner = JobRunner("host", 1)
        self._host: HostClient | None = None
        self._tickets: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._closed = False
        self._delivered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    # Threads ---------------------------------------------------------------------------------

    def view(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Failed | None = None,
        *,
        lane: str | None = None,
    ) -> None:
        """Decode or render for the viewer, in its own thread, one after the other."""
        self._submit(self._viewer_runner, work, done, failed, lane)

    def view_and_wait(self, work: Callable[[], object]) -> None:
        """The same, done when this returns; for what must not be dropped when the window closes."""
        self._viewer_runner.submit(work).result()

    def thumbnail(
        self, work: Callable[[], T], done: Callable[[T], None], failed: Failed | None = None
    ) -> None:
        """Make a thumbnail or look something up beside the other threads."""
        self._submit(self._thumbnail_runner, work, done, failed, None)

    def project(
        self,
        work: Callable[[Project], T],
        done: Callable[[T], None] | None = None,
        failed: Failed | None = None,
        *,
        lane: str | None = None,
    ) -> None:
        """Call the open project in the project's thread, one call after the other."""

        def call() -> T:
            if self._project is None:
                raise ProjectNotFoundError("no project is open", remedy="Open a project first.")
            return work(self._project)

        self._submit(self._project_runner, call, done, failed, lane)

    def open_project(
        self,
        opener: Callable[[], Project],
        done: Callable[[Project], None],
        failed: Failed | None = None,
    ) -> None:
        """Open or create a project in the project's thread; the one before is closed."""

        def call() -> Project:
            project = opener()
            previous, self._project = self._project, project
            if previous is not None:
                previous.close()
            return project

        self._submit(self._project_runner, call, done, failed, None)

    def warm_up(self) -> None:
        """Import what opening a project needs while the start page is being looked at."""

        def load() -> None:
            import vlmtool_core.project  # noqa: F401

        self._submit(self._project_runner, load, None, None, None)

    def close_project(self, done: Callable[[None], None] | None = None) -> None:
        def call() -> None:
            previous, self._project = self._project, None
            if previous is not None:
                previous.close()

        self._submit(self._project_runner, call, done, None, None)

    def _submit(
        self,
        runner: JobRunner,
        work: Callable[[], T],
        done: Callable[[T], None] | None,
        failed: Failed | None,
        lane: str | None,
    ) -> None:
        if self._closed:
            return
        ticket = self._take(lane) if lane else 0

        def guarded() -> T:
            if lane and not self._is_latest(lane, ticket):
                raise _Superseded
            return work()

        def finished(future: Future[T]) -> None:
            self._post_future(future, done, failed, lane, ticket)

        runner.submit(guarded).add_done_callback(finished)

    def _post_future(
        self,
        future: Future[T],
        done: Callable[[T], None] | None,
        failed: Failed | None,
        lane: str | None,
        ticket: int,
    ) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._post(_Delivery(done, future.result(), lane, ticket))
        elif not isinstance(error, _Superseded):
            info = ErrorInfo.from_exception(error)
            if info.code == "internal":
                log.error("work in a thread failed", exc_info=error)
            self._post(_Delivery(failed or self.failed.emit, info, lane, ticket))

    def _take(self, lane: str) -> int:
        with self._lock:
            self._tickets[lane] += 1
            return self._tickets[lane]

    def drop(self, lane: str) -> None:
        """Nobody waits for the results of this lane any more."""
        self._take(lane)

    def _is_latest(self, lane: str, ticket: int) -> bool:
        with self._lock:
            return self._tickets[lane] == ticket

    def _post(self, delivery: _Delivery) -> None:
        if not self._closed:
            self._delivered.emit(delivery)

    def _deliver(self, delivery: _Delivery) -> None:
        if self._closed or delivery.callback is None:
            return
        if delivery.lane and not self._is_latest(delivery.lane, delivery.ticket):
            return
        delivery.callback(delivery.value)

    # The engine host -------------------------------------------------------------------------

    def request(
        self,
        kind: str,
        params: Mapping[str, Any],
        *,
        title: str,
        done: Callable[[Any], None] | None = None,
        failed: Failed | None = None,
        progressed: Callable[[Any], None] | None = None,
        quiet: bool = False,
        topic: str = "",
    ) -> Job:
        """Ask the engine host; the job is listed unless `quiet`, and its error reported.

        topic : a newer request on the same topic replaces this one
        """
        job = Job(0, kind, title) if quiet else self.jobs.start(kind, title)

        answer = _Answer(self, job, done, failed, progressed)

        def send() -> int:
            return self._client().request(
                kind,
                dict(params),
                lambda value: self._post(_Delivery(answer.advance, value)),
                lambda value: self._post(_Delivery(answer.finish, value)),
                lambda error: self._post(_Delivery(answer.fail, error)),
                topic=topic,
            )

        self._submit(self._host_runner, send, answer.sent, answer.fail, None)
        return job

    def _client(self) -> HostClient:
        """The host's client, started on first use; only called in the host's thread."""
        if self._host is None:
            from vlmtool_core.host.client import HostClient
            from vlmtool_core.host.watch import Limits

            limits = Limits() if self._stuck_s is None else Limits(stuck=self._stuck_s)
            self._host = HostClient(
                limits=limits,
                on_state=lambda state: self._post(_Delivery(self.host_changed.emit, state)),
            )
            self._host.start()
        return self._host

    def restart_host(self, done: Callable[[None], None] | None = None) -> None:
        """Start the engine host anew; what it was working on ends with an error."""
        self._submit(self._host_runner, lambda: self._client().restart(), done, None, None)

    @property
    def host_pid(self) -> int | None:
        """Process id of the engine host, None while none runs."""
        return None if self._host is None else self._host.pid

    def cancel(self, job: Job) -> None:
        """Ask the host to stop the job; it ends as cancelled and keeps what it finished."""

        def stop() -> None:
            if job.request is not None and job.running and self._host is not None:
                self._host.cancel(job.request)

        self._submit(self._host_runner, stop, None, None, None)

    def close(self) -> None:
        """Finish what writes, drop the rest, end the host. The last call on a bridge."""
        if self._closed:
            return
        self.close_project()
        self._closed = True
        for runner in (self._viewer_runner, self._thumbnail_runner, self._host_runner):
            runner.close()
        self._project_runner.submit(lambda: None).result()
        self._project_runner.close()
        if self._host is not None:
            self._host.close()


@dataclass(frozen=True)
class _Answer:
    """What happens on the main thread with the messages that belong to one request."""

    bridge: Bridge
    job: Job
    done: Callable[[Any], None] | None
    failed: Failed | None
    progressed: Callable[[Any], None] | None

    def sent(self, number: int) -> None:
        self.job.request = number

    def advance(self, value: Any) -> None:
        self.bridge.jobs.advance(self.job, as_progress(value))
        if self.progressed is not None and self.job.running:
            self.progressed(value)

    def finish(self, value: Any) -> None:
        self.bridge.jobs.finish(self.job, value)
        if self.done is not None:
            self.done(value)

    def fail(self, error: ErrorInfo) -> None:
        self.bridge.jobs.fail(self.job, error)
        if self.failed is not None:
            self.failed(error)
        elif error.code != "cancelled":
            self.bridge.failed.emit(error)


def as_progress(value: Any) -> Progress:
    """A progress message of the host as a record."""
    if isinstance(value, Progress):
        return value
    return Progress(
        int(value.get("done", 0)),
        value.get("total"),
        str(value.get("message", "")),
        int(value.get("failed", 0)),
        float(value.get("elapsed_s", 0.0)),
    )


def open_or_create(root: Path, *, create: bool, name: str = "") -> Callable[[], Project]:
    """What `Bridge.open_project` runs in the project's thread."""

    def call() -> Project:
        from vlmtool_core.project import Project

        return Project.create(root, name=name) if create else Project.open(root)

    return call
