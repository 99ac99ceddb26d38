"""run_items: order, failures, resume, retry, cancel, memory; on real files with a tiny engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_engine import IDENTITY, TinyEngine

from vlmtool_core.batch import FolderLedger, RunReport, RunSpec, run_items
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.turns import Rank, turns_of
from vlmtool_core.errors import MissingPackError, UsageError
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.records import Frame, OutcomeStatus, ResultRow, Task

Pictures = Callable[..., Path]
CLASSIFY = RunSpec(Task.CLASSIFY)


class Run:
    """A run over a folder, and its table."""

    def __init__(self, folder: Path, spec: RunSpec = CLASSIFY) -> None:
        self.items = items_of(folder)
        self.spec = spec
        self.ledger = FolderLedger.for_input(folder, spec, IDENTITY)

    def __call__(self, engine: TinyEngine, **options: object) -> RunReport:
        return run_items(
            self.items,
            self.spec,
            engine=engine,  # type: ignore[arg-type]
            ledger=self.ledger,
            **options,  # type: ignore[arg-type]
        )

    def rows(self) -> list[ResultRow]:
        return list(self.ledger.rows(self.items))

    def table(self) -> list[tuple[object, ...]]:
        return [
            (r.item, r.frame, r.sha256, r.outcome.status, r.outcome.scores) for r in self.rows()
        ]


def test_rows_come_in_the_order_of_items_whatever_the_threads_do(pictures: Pictures) -> None:
    run = Run(pictures(70))
    given: list[ResultRow] = []
    report = run(TinyEngine(), on_rows=given.extend)
    names = [f"p{n}.png" for n in range(70)]
    assert [row.item for row in given] == names
    assert [row.item for row in run.rows()] == names
    assert (report.done, report.ok, report.failed, report.skipped) == (70, 70, 0, 0)
    assert [row.outcome for row in given] == [row.outcome for row in run.rows()]
    assert run.rows()[3].size == (32, 24)
    assert len(run.rows()[3].sha256) == 64


def test_batches_are_as_large_as_the_settings_say(pictures: Pictures, home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "settings.toml").write_text("batch_size = 5\n")
    engine = TinyEngine()
    Run(pictures(12))(engine)
    assert engine.batches == [5, 5, 2]


def test_a_failing_frame_in_the_middle_is_recorded_and_disturbs_nobody(pictures: Pictures) -> None:
    folder = pictures(20)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "p7.png")

    def refuse_black(frames: Sequence[Frame]) -> None:
        if any(frame.pixels.max() == 0 for frame in frames):
            raise ZeroDivisionError("black picture")

    run = Run(folder)
    report = run(TinyEngine(hook=refuse_black))
    assert (report.ok, report.failed) == (19, 1)
    ((item, error),) = report.failures
    assert item == "p7.png"
    assert "black picture" in error.message
    assert [r.outcome.status for r in run.rows()].index(OutcomeStatus.FAILED) == 7


def test_unreadable_files_are_rows_with_their_reason(pictures: Pictures) -> None:
    folder = pictures(4)
    (folder / "p1.png").write_bytes(b"")
    (folder / "p2.png").write_bytes((folder / "p2.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "notes.txt").write_text("not media at all")
    run = Run(folder)
    report = run(TinyEngine())
    assert [r.item for r in run.rows()] == ["p0.png", "p1.png", "p2.png", "p3.png", "text.jpg"]
    assert [item for item, _ in report.failures] == ["p1.png", "p2.png", "text.jpg"]
    assert all(error.code.startswith("media") for _, error in report.failures)
    assert report.ok == 2


def test_a_second_run_skips_what_is_done_and_gives_the_same_table(pictures: Pictures) -> None:
    run = Run(pictures(10))
    run(TinyEngine())
    table = run.table()
    engine = TinyEngine()
    report = run(engine)
    assert engine.batches == []
    assert (report.done, report.skipped, report.ok) == (0, 10, 10)
    assert run.table() == table
    assert run(engine, resume=False).done == 10
    assert run.table() == table


def test_changed_content_is_run_again_and_new_files_are_added(pictures: Pictures) -> None:
    folder = pictures(6)
    Run(folder)(TinyEngine())
    Image.fromarray(np.full((24, 32, 3), 250, np.uint8)).save(folder / "p2.png")
    Image.fromarray(np.full((24, 32, 3), 9, np.uint8)).save(folder / "p9.png")
    run = Run(folder)
    report = run(TinyEngine())
    assert (report.done, report.skipped) == (2, 5)
    assert [r.item for r in run.rows()] == [*(f"p{n}.png" for n in range(6)), "p9.png"]
    assert run.rows()[2].outcome.scores[0].score == pytest.approx(250 / 255)


def test_failures_are_retried_only_when_asked(pictures: Pictures) -> None:
    folder = pictures(5)
    run = Run(folder)

    def refuse(frames: Sequence[Frame]) -> None:
        if any(frame.pixels[0, 0, 0] == 7 for frame in frames):
            raise ValueError("not today")

    assert run(TinyEngine(hook=refuse)).failed == 1
    engine = TinyEngine()
    assert run(engine).failed == 1
    assert engine.batches == []
    report = run(engine, retry_failed=True)
    assert (report.failed, report.ok, report.done) == (0, 5, 1)


def test_out_of_memory_halves_the_batch_and_goes_on(pictures: Pictures) -> None:
    engine = TinyEngine(fits=3)
    run = Run(pictures(20))
    report = run(engine)
    assert report.ok == 20
    assert max(engine.batches) <= 3
    assert len(engine.batches) < 20
    assert [r.item for r in run.rows()] == [f"p{n}.png" for n in range(20)]


def test_one_frame_that_never_fits_is_a_failure_of_that_frame(pictures: Pictures) -> None:
    def refuse(frames: Sequence[Frame]) -> None:
        if any(frame.pixels[0, 0, 0] == 21 for frame in frames):
            raise MemoryError

    report = Run(pictures(6))(TinyEngine(hook=refuse))
    assert report.ok == 5
    assert [(item, e.code) for item, e in report.failures] == [("p3.png", "engine-memory")]


def test_what_concerns_every_frame_ends_the_run(pictures: Pictures) -> None:
    def missing(_frames: Sequence[Frame]) -> None:
        raise MissingPackError("pack tiny is not installed")

    run = Run(pictures(3))
    with pytest.raises(MissingPackError):
        run(TinyEngine(hook=missing))
    assert run.rows() == []


def test_cancel_returns_at_once_and_the_run_goes_on_later(pictures: Pictures) -> None:
    folder = pictures(40)
    whole = Run(folder, RunSpec(Task.CLASSIFY, threshold=0.0))
    whole(TinyEngine())
    run = Run(folder)
    cancel, held = CancelToken(), threading.Event()
    pressed: list[float] = []

    def hold_third_batch(_frames: Sequence[Frame]) -> None:
        if len(engine.batches) == 2:
            pressed.append(time.monotonic())
            cancel.cancel()
            held.wait()

    engine = TinyEngine(hook=hold_third_batch)
    report = run(engine, cancel=cancel)
    assert time.monotonic() - pressed[0] < 0.3
    assert report.cancelled
    assert report.done == 32
    held.set()
    report = run(TinyEngine())
    assert (report.cancelled, report.skipped, report.done) == (False, 32, 8)
    assert run.table() == whole.table()


def test_progress_counts_frames_and_failures(pictures: Pictures, clip: Path) -> None:
    folder = pictures(3)
    clip.rename(folder / "z.mp4")
    (folder / "p1.png").write_bytes(b"")
    seen: list[Progress] = []
    Run(folder)(TinyEngine(), progress=seen.append)
    assert seen[0].done == 0
    assert (seen[-1].done, seen[-1].total, seen[-1].failed) == (8, 8, 1)
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_a_video_gives_a_row_per_sample_with_its_own_time(clip: Path) -> None:
    run = Run(clip, RunSpec(Task.CLASSIFY, sample_s=2.5))
    run(TinyEngine())
    assert [(r.frame, r.time_s) for r in run.rows()] == [(0, 0), (25, 2.5), (50, 5), (75, 7.5)]
    reds = [r.outcome.scores[0].score * 255 for r in run.rows()]
    assert reds == pytest.approx([0, 50, 100, 150], abs=4)


def test_an_interrupted_video_goes_on_in_its_middle(clip: Path) -> None:
    spec = RunSpec(Task.CLASSIFY, frames="all")
    run, cancel = Run(clip, spec), CancelToken()
    engine = TinyEngine(hook=lambda _f: cancel.cancel() if len(engine.batches) == 3 else None)
    assert run(engine, cancel=cancel).cancelled
    assert 0 < len(run.rows()) < 100
    report = run(TinyEngine())
    assert report.ok == 100
    assert [r.frame for r in run.rows()] == list(range(100))


def test_a_truncated_video_keeps_what_can_be_decoded(clip: Path, tmp_path: Path) -> None:
    import av

    whole = tmp_path / "clip.ts"
    with av.open(str(clip)) as source, av.open(str(whole), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "cut.ts").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    run = Run(folder, RunSpec(Task.CLASSIFY, frames="all"))
    report = run(TinyEngine())
    assert report.ok > 10
    engine = TinyEngine()
    assert run(engine).skipped == report.done
    assert engine.batches == []


def test_empty_and_missing_inputs_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError) as caught:
            items_of(path)
        assert caught.value.path == str(path)


def test_boxes_refer_to_the_source_and_empty_is_not_failed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(np.full((1500, 3000, 3), 90, np.uint8)).save(folder / "a.jpg")
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(folder / "b.png")
    run = Run(folder, RunSpec(Task.DETECT))
    report = run(TinyEngine())
    assert (report.ok, report.empty, report.failed) == (1, 1, 0)
    assert run.rows()[0].outcome.boxes[0].xyxy == (0, 0, 3000, 1500)


def test_embeddings_survive_the_ledger_exactly(pictures: Pictures) -> None:
    run = Run(pictures(4), RunSpec(Task.EMBED))
    given: list[ResultRow] = []
    run(TinyEngine(), on_rows=given.extend)
    for row, kept in zip(given, run.rows(), strict=True):
        assert kept.outcome.embedding is not None
        assert kept.outcome.embedding.dtype == np.float32
        np.testing.assert_array_equal(kept.outcome.embedding, row.outcome.embedding)


def test_an_urgent_prediction_goes_before_the_rest_of_a_run(pictures: Pictures) -> None:
    order: list[str] = []
    first = threading.Event()
    waiting = threading.Event()

    def hook(frames: Sequence[Frame]) -> None:
        order.append("one" if len(frames) == 1 else "batch")
        if len(order) == 1:
            first.set()
            waiting.wait(20)

    engine = TinyEngine(hook=hook)
    run = Run(pictures(64))
    thread = threading.Thread(
        target=run_items,
        args=(run.items, CLASSIFY),
        kwargs={"engine": engine, "ledger": _Forgetful()},
    )
    thread.start()
    first.wait(20)
    urgent = Predictor(engine, CLASSIFY, rank=Rank.LOOK)  # type: ignore[arg-type]
    frame = Frame(np.zeros((4, 4, 3), np.uint8))
    asker = threading.Thread(target=urgent, args=([frame],))
    asker.start()
    while not turns_of(engine).is_waiting(Rank.LOOK):
        pass
    waiting.set()
    asker.join(20)
    thread.join(20)
    assert order[1] == "one"
    assert order.count("batch") == 4


class _Forgetful:
    """A ledger that keeps nothing."""

    def finished(self) -> dict[str, list[object]]:
        return {}

    def record(self, rows: Sequence[ResultRow]) -> None: ...

    def rows(self, items: object) -> list[ResultRow]:
        return []

    def clear(self) -> None: ...

    def complete(self) -> None: ...
