"""The jobs that this window started, as data: what they are, how far, how they ended. No Qt."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vlmtool_core.jobs import Progress
from vlmtool_core.records import ErrorInfo
from vlmtool_core.signals import Signal


class JobState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Job:
    """One request to the engine host. Result and error are kept until the window closes."""

    number: int
    kind: str
    title: str
    state: JobState = JobState.RUNNING
    progress: Progress = field(default_factory=lambda: Progress(0))
    result: Any = None
    error: ErrorInfo | None = None
    request: int | None = None

    @property
    def running(self) -> bool:
        return self.state is JobState.RUNNING


class JobList:
    """All jobs, newest last; announces each change with the job."""

    def __init__(self) -> None:
        self.changed: Signal[[Job]] = Signal()
        self._numbers = itertools.count(1)
        self._jobs: list[Job] = []

    def __iter__(self) -> itertools.chain[Job]:
        return itertools.chain(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, kind: str, title: str) -> Job:
        job = Job(next(self._numbers), kind, title)
        self._jobs.append(job)
        self.changed.emit(job)
        return job

    def running(self) -> list[Job]:
        return [job for job in self._jobs if job.running]

    def advance(self, job: Job, progress: Progress) -> None:
        if job.running:
            job.progress = progress
            self.changed.emit(job)

    def finish(self, job: Job, result: Any) -> None:
        job.state, job.result = JobState.DONE, result
        self.changed.emit(job)

    def fail(self, job: Job, error: ErrorInfo) -> None:
        job.state = JobState.CANCELLED if error.code == "cancelled" else JobState.FAILED
        job.error = error
        self.changed.emit(job)

    def forget_finished(self) -> list[Job]:
        """Drop what has ended and return it."""
        ended = [job for job in self._jobs if not job.running]
        self._jobs = [job for job in self._jobs if job.running]
        return ended
