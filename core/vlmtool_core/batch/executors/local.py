"""The executor of one process: threads decode, one thread predicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from vlmtool_core.batch.executors.base import Work
from vlmtool_core.batch.pipeline import Batch, Pipeline


class LocalExecutor:
    """Works in this process, with the engine that is loaded already; batches come in order."""

    name = "local"

    @contextmanager
    def open(self, work: Work) -> Iterator[Iterable[Batch]]:
        if not work.jobs:
            yield ()
            return
        with Pipeline(
            work.jobs, work.spec, work.predictor, hash_of=work.hashes.of, cancel=work.cancel
        ) as pipeline:
            yield pipeline
