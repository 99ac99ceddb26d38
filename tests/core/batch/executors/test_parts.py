"""Parts and chunks: who works on an item changes nothing about what shares a batch with it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.batch.decode import Decoded, Job, Opened
from vlmtool_core.batch.executors.base import BATCHES_IN_A_PART, chunks_of, in_parts
from vlmtool_core.batch.executors.progress import (
    MOST_DEATHS,
    Chunk,
    Progress,
    given_up,
    is_deadly,
    split,
)
from vlmtool_core.batch.pipeline import Answer, Batch
from vlmtool_core.errors import MediaNotFoundError
from vlmtool_core.records import ErrorInfo, ItemRef, MediaKind, Outcome, OutcomeStatus

OK = Outcome(OutcomeStatus.OK)


def item(number: int) -> ItemRef:
    return ItemRef(f"p{number}", Path(f"/p{number}"), MediaKind.IMAGE)


def batch(*frames: tuple[int, int], opened: tuple[tuple[int, int], ...] = ()) -> Batch:
    """Answers as (item, frame), and items opened as (item, planned)."""
    answers = tuple(Answer(Decoded(item(n), frame), OK) for n, frame in frames)
    return Batch(answers, tuple(Opened(item(n), planned) for n, planned in opened))


@given(st.integers(1, 120), st.integers(1, 6), st.sets(st.integers(0, 119)))
def test_parts_end_at_the_same_items_whatever_is_done(
    count: int, size: int, done: set[int]
) -> None:
    items = [item(n) for n in range(count)]
    left = [n for n in range(count) if n not in done]
    jobs = in_parts([Job(items[n]) for n in left], items, size)
    part = BATCHES_IN_A_PART * size
    expected = [
        n for n, after in zip(left, [*left[1:], None], strict=False)
        if after is None or after // part != n // part
    ]  # fmt: skip
    assert [n for n, job in zip(left, jobs, strict=True) if job.ends_part] == expected


@given(st.integers(0, 200), st.integers(1, 4), st.integers(1, 12))
def test_chunks_hold_whole_parts_and_everything_once(count: int, size: int, workers: int) -> None:
    items = [item(n) for n in range(count)]
    jobs = in_parts([Job(i) for i in items], items, size)
    chunks = chunks_of(jobs, workers)
    assert [job for chunk in chunks for job in chunk] == jobs
    assert all(chunk and chunk[-1].ends_part for chunk in chunks)
    parts = sum(job.ends_part for job in jobs)
    assert len(chunks) >= min(parts, workers)


def test_a_chunk_is_taken_up_where_its_worker_died() -> None:
    progress = Progress()
    chunk = Chunk(tuple(Job(item(n)) for n in range(4)))
    first = batch((0, 0), (1, 0), (1, 5), opened=((0, 1), (1, 3)))
    assert progress.take(first) == first
    failed = Answer(Decoded(item(2), 0, error=ErrorInfo("media", "broken")), OK)
    progress.take(Batch((failed,), ()))
    left = progress.remaining(chunk)
    # 0 is through, 1 has a frame left, 2 could not be opened, 3 was not begun.
    assert left.jobs == (Job(item(1), frozenset({0, 5})), Job(item(3)))
    assert (left.deaths, left.is_suspect) == (1, True)
    # Opened again, an item is not counted again.
    again = progress.take(batch((1, 7), opened=((1, 1), (3, 1))))
    assert [opened.item.item for opened in again.opened] == ["p3"]
    progress.finish(left)
    assert progress.take(batch(opened=((1, 1),))).opened == (Opened(item(1), 1),)


def test_a_deadly_item_is_cornered_in_few_steps() -> None:
    guilty, deaths = 37, 0
    waiting = [Chunk(tuple(Job(item(n)) for n in range(64)))]
    through: list[int] = []
    while waiting:
        chunk = waiting.pop(0)
        numbers = [int(job.item.item[1:]) for job in chunk.jobs]
        if guilty not in numbers:
            through += numbers
            continue
        deaths += 1
        chunk.deaths += 1
        if is_deadly(chunk):
            assert numbers == [guilty]
        else:
            waiting += split(chunk)
    assert sorted([*through, guilty]) == list(range(64))
    assert deaths == MOST_DEATHS + 6


def test_what_is_given_up_is_filed_behind_what_is_kept() -> None:
    def missing(_item: ItemRef) -> str:
        raise MediaNotFoundError("gone")

    image = given_up(Job(item(1)), "was ended by SIGKILL", lambda _: "a" * 64).answers[0]
    assert (image.decoded.index, image.decoded.item.sha256) == (0, "a" * 64)
    assert image.outcome.error is not None
    assert "SIGKILL" in image.outcome.error.message
    video = given_up(Job(item(1), frozenset({0, 5, 9})), "crashed", missing).answers[0]
    assert (video.decoded.index, video.decoded.item.sha256) == (10, "")
    assert video.outcome.error is not None
    assert "3 frames" in video.outcome.error.message
    only = given_up(Job(item(1), only=frozenset({7, 8})), "crashed", missing).answers[0]
    assert only.decoded.index == 7
