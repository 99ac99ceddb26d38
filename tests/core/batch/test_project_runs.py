"""Runs in a project: predictions, resuming, growing, retrying, and single frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_engine import TinyEngine

from vlmtool_core.batch import RunSpec
from vlmtool_core.errors import RecordNotFoundError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.project import Project
from vlmtool_core.project.running import (
    items_to_run,
    predict_frame,
    resolve_spec,
    rows_of_run,
)
from vlmtool_core.records import Frame, Label, LabelSet, OutcomeStatus, Task

Pictures = Callable[..., Path]
CLASSIFY = RunSpec(Task.CLASSIFY, labels=(Label("a"), Label("b"), Label("c")))


@pytest.fixture
def project(tmp_path: Path, pictures: Pictures, places: Any) -> Iterator[Project]:
    with places.create_project(tmp_path / "project") as project:
        project.add([pictures(40)])
        yield project


def _run(project: Project, engine: TinyEngine, **options: Any) -> Any:
    return project.run(CLASSIFY, engine=engine, **options)  # type: ignore[arg-type]


def _table(project: Project, run_id: int) -> list[tuple[Any, ...]]:
    return [(r.item, r.frame, r.sha256, r.outcome.scores) for r in rows_of_run(project, run_id)]


def test_predictions_are_stored_and_the_run_is_closed(project: Project) -> None:
    report = _run(project, TinyEngine())
    (run,) = project.runs()
    assert (report.run_id, report.ok, run.ok) == (run.id, 40, 40)
    assert run.ended_at is not None
    item = project.find_item("p3.png")
    (prediction,) = project.predictions(item.id)
    assert prediction.outcome.status is OutcomeStatus.OK
    assert prediction.size == (32, 24)
    assert [row.item for row in rows_of_run(project, run.id)] == [f"p{n}.png" for n in range(40)]


def test_an_interrupted_run_goes_on_and_ends_with_the_same_table(project: Project) -> None:
    whole = _run(project, TinyEngine())
    expected = _table(project, whole.run_id)
    cancel = CancelToken()
    engine = TinyEngine(hook=lambda _f: cancel.cancel() if len(engine.batches) == 1 else None)
    stopped = _run(project, engine, resume=False, cancel=cancel)
    assert stopped.cancelled
    assert stopped.run_id != whole.run_id
    assert project.store.runs.get(stopped.run_id).ended_at is None
    engine = TinyEngine()
    report = _run(project, engine)
    assert report.run_id == stopped.run_id
    assert sum(engine.batches) == 40 - stopped.done
    assert _table(project, report.run_id) == expected


def test_a_finished_run_grows_by_new_items(project: Project, pictures: Pictures) -> None:
    first = _run(project, TinyEngine())
    Image.fromarray(np.full((9, 9, 3), 5, np.uint8)).save(pictures(0) / "new.png")
    project.add([pictures(0)])
    engine = TinyEngine()
    report = _run(project, engine)
    assert (report.run_id, report.done, report.skipped) == (first.run_id, 1, 40)
    assert engine.batches == [1]


def test_changed_content_begins_a_new_run(project: Project, pictures: Pictures) -> None:
    first = _run(project, TinyEngine())
    Image.fromarray(np.full((9, 9, 3), 5, np.uint8)).save(pictures(0) / "p7.png")
    project.add([pictures(0)])
    report = _run(project, TinyEngine())
    assert report.run_id != first.run_id
    assert report.done == 40
    assert project.store.runs.get(first.run_id).ok == 40


def test_failures_and_unreadable_items_are_rows_and_retried_when_asked(
    project: Project, pictures: Pictures
) -> None:
    (pictures(0) / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    project.add([pictures(0)])

    def refuse(frames: Sequence[Frame]) -> None:
        if any(frame.pixels[0, 0, 0] == 14 for frame in frames):
            raise ValueError("not today")

    report = _run(project, TinyEngine(hook=refuse))
    assert [item for item, _ in report.failures] == ["bad.png", "p2.png"]
    assert (report.ok, report.failed) == (39, 2)
    again = _run(project, TinyEngine())
    assert (again.run_id, again.done, again.failed) == (report.run_id, 0, 2)
    retried = _run(project, TinyEngine(), retry_failed=True)
    assert (retried.run_id, retried.done, retried.ok, retried.failed) == (report.run_id, 2, 40, 1)


def test_some_items_and_a_limit(project: Project) -> None:
    ids = project.item_ids()
    assert _run(project, TinyEngine(), item_ids=[ids[5], ids[2]]).ok == 2
    assert _run(project, TinyEngine(), limit=4).ok == 4
    with pytest.raises(RecordNotFoundError):
        _run(project, TinyEngine(), item_ids=[10**6])


def test_many_rows_come_in_the_order_of_the_items(tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures(230)
    (folder / "p30.png").rename(folder / "a.png")
    with Project.create(tmp_path / "project") as project:
        project.add([folder])
        report = _run(project, TinyEngine())
        names = [item.item for item in items_to_run(project)]
        assert names[0] == "a.png"
        assert [row.item for row in rows_of_run(project, report.run_id)] == names


def test_what_the_project_decides(project: Project) -> None:
    plain = RunSpec(Task.CLASSIFY)
    assert resolve_spec(project, plain) == plain
    labels = (Label("cat", ("a cat",)), Label("dog"))
    project.set_label_set(LabelSet("pets", labels, exclusive=False))
    filled = resolve_spec(project, plain)
    assert filled.labels == labels
    assert not filled.exclusive
    assert resolve_spec(project, RunSpec(Task.DETECT)).labels == ()
    named = RunSpec(Task.CLASSIFY, labels=(Label("bird"),))
    assert resolve_spec(project, named) == named
    assert resolve_spec(project, RunSpec(Task.CLASSIFY, model="active")).model is None
    with pytest.raises(RecordNotFoundError):
        resolve_spec(project, RunSpec(Task.CLASSIFY, model="v7"))


def test_a_frame_is_predicted_once_and_joins_the_run(project: Project) -> None:
    item = project.find_item("p3.png")
    engine = TinyEngine()
    (first,) = predict_frame(project, CLASSIFY, item.id, 0, engine=engine)  # type: ignore[arg-type]
    (second,) = predict_frame(project, CLASSIFY, item.id, 0, engine=engine)  # type: ignore[arg-type]
    assert first == second
    assert engine.batches == [1]
    report = _run(project, TinyEngine())
    assert (report.run_id, report.skipped, report.done) == (first.run_id, 1, 39)


def test_a_frame_that_cannot_be_decoded_is_a_failed_prediction(project: Project) -> None:
    item = project.find_item("p3.png")
    (failed,) = predict_frame(project, CLASSIFY, item.id, 7, engine=TinyEngine())  # type: ignore[arg-type]
    assert failed.outcome.status is OutcomeStatus.FAILED
    assert failed.outcome.error is not None
