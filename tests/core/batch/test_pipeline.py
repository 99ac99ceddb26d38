"""Pictures are decoded as large as the model wants them, and a stopped run stops its model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_engine import TinyEngine

from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.pipeline import Pipeline
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.engine.runtime.stopping import check_stopped, stopped
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import Frame, Task

Pictures = Callable[..., Path]
DETECT = RunSpec(Task.DETECT)


def pipeline(folder: Path, engine: TinyEngine, cancel: CancelToken | None = None) -> Pipeline:
    from vlmtool_core.batch.decode import Job

    predictor = Predictor(engine, DETECT, batch_size=4)  # type: ignore[arg-type]
    jobs = [Job(item) for item in items_of(folder)]
    return Pipeline(
        jobs, DETECT, predictor, hash_of=lambda item: item.item, cancel=cancel or CancelToken()
    )


def test_pictures_are_decoded_as_large_as_the_model_wants_them(tmp_path: Path) -> None:
    Image.fromarray(np.full((900, 1200, 3), 90, np.uint8)).save(tmp_path / "a.jpg")
    seen: list[tuple[int, ...]] = []
    engine = TinyEngine(side=300, hook=lambda frames: seen.extend(f.pixels.shape for f in frames))
    with pipeline(tmp_path, engine) as batches:
        (batch,) = batches
    assert seen == [(225, 300, 3)]
    assert batch.answers[0].size == (1200, 900)
    assert batch.answers[0].outcome.boxes[0].xyxy == (0, 0, 1200, 900)


def test_a_cancelled_run_stops_the_model_and_ends_quietly(pictures: Pictures) -> None:
    cancel, ended = CancelToken(), threading.Event()

    def long_inference(_frames: Sequence[Frame]) -> None:
        cancel.cancel()
        ended.set()
        check_stopped()

    with pipeline(pictures(8), TinyEngine(hook=long_inference), cancel) as batches:
        assert list(batches) == []
    assert ended.wait(10)


def test_a_model_that_stops_by_itself_is_no_error(pictures: Pictures) -> None:
    """Closed by its reader, a pipeline's model is told to stop too."""
    begun, go_on, told = threading.Event(), threading.Event(), threading.Event()

    def hook(_frames: Sequence[Frame]) -> None:
        begun.set()
        go_on.wait(10)
        if stopped():
            told.set()

    with pipeline(pictures(8), TinyEngine(hook=hook)):
        assert begun.wait(10)
    go_on.set()
    assert told.wait(10)
