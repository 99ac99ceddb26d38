"""The ledger and the small caches: damage, odd names, speed."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_engine import IDENTITY, TinyEngine

from vlmtool_core.batch import FolderLedger, RunSpec, run_items
from vlmtool_core.batch.features import FeatureCache, embed_items
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.frames import spread
from vlmtool_core.batch.hashes import ContentHashes
from vlmtool_core.errors import StorageError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import (
    Outcome,
    OutcomeStatus,
    ResultRow,
    Score,
    Task,
)

SPEC = RunSpec(Task.CLASSIFY)


class Embedder(TinyEngine):
    def embedding_size(self, model: str | None = None) -> int:
        return 3


def _row(item: str, frame: int = 0, sha256: str = "a" * 64) -> ResultRow:
    outcome = Outcome(OutcomeStatus.OK, (Score("x", 0.1 + 0.2),))
    return ResultRow(item, sha256, frame, 0.04 * frame, Task.CLASSIFY, IDENTITY, outcome, (3, 2))


def test_a_run_is_known_by_input_spec_and_model(tmp_path: Path) -> None:
    files = set()
    other = RunSpec(Task.CLASSIFY, threshold=0.5)
    for path, spec in [(tmp_path, SPEC), (tmp_path / "b", SPEC), (tmp_path, other)]:
        with FolderLedger.for_input(path, spec, IDENTITY) as ledger:
            files.add(ledger.file)
    assert len(files) == 3


def test_names_that_are_no_utf8_and_odd_names_are_kept(tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), "图 像 🐈.png", '"q"', "a\nb"]
    with FolderLedger(tmp_path / "l.sqlite", SPEC, IDENTITY) as ledger:
        ledger.record([_row(name) for name in names])
        assert set(ledger.finished()) == set(names)


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    with FolderLedger(tmp_path / "l.sqlite", SPEC, IDENTITY) as ledger:
        rows = [_row("a.png", 3), _row("a.png", 1)]
        ledger.record(rows)
        assert list(ledger.rows(items_of(folder))) == rows[::-1]


def test_a_damaged_ledger_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "l.sqlite"
    file.write_bytes(b"this is no database, but long enough to be looked at" * 50)
    with FolderLedger(file, SPEC, IDENTITY) as ledger:
        assert ledger.finished() == {}
        ledger.record([_row("a")])
    assert file.with_suffix(".damaged").exists()


def test_a_ledger_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        FolderLedger(tmp_path / "file" / "l.sqlite", SPEC, IDENTITY)


def test_old_ledgers_are_removed(tmp_path: Path) -> None:
    with FolderLedger.for_input(tmp_path, SPEC, IDENTITY) as ledger:
        old = ledger.file
    os.utime(old, (0, 0))
    with FolderLedger.for_input(tmp_path / "other", SPEC, IDENTITY):
        assert not old.exists()


def test_two_ledgers_on_one_file_do_not_hurt_each_other(tmp_path: Path) -> None:
    file = tmp_path / "l.sqlite"
    with FolderLedger(file, SPEC, IDENTITY) as one, FolderLedger(file, SPEC, IDENTITY) as two:
        one.record([_row("a")])
        two.record([_row("a"), _row("b")])
        assert set(one.finished()) == {"a", "b"}


def test_hashes_are_read_again_only_when_a_file_changed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (4, 4), "red").save(folder / "a.png")
    items = items_of(folder)
    with ContentHashes(items) as hashes:
        first = hashes.of(items[0])
    stat = (folder / "a.png").stat()
    Image.new("RGB", (4, 4), "blue").save(folder / "a.png")
    with ContentHashes(items) as hashes:
        assert hashes.of(items[0]) != first
    assert stat.st_size > 0
    with sqlite3.connect(tmp_path / "vlmtool-home" / "cache" / "hashes.sqlite") as database:
        assert database.execute("SELECT count(*) FROM content").fetchone() == (1,)


def test_features_are_made_once_and_survive_a_kill_in_the_middle(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (8, 8), (number * 40, 9, 9)).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"")
    Image.new("RGB", (8, 8), (0, 9, 9)).save(folder / "twin of 0.png")
    items = items_of(folder)
    engine = Embedder()
    features = embed_items(items, engine)  # type: ignore[arg-type]
    assert features.keys == ("0.png", "1.png", "2.png", "3.png", "4.png", "twin of 0.png")
    assert sum(engine.batches) == 5
    assert [item.item for item, _ in features.failed] == ["5.png"]
    np.testing.assert_allclose(np.linalg.norm(features.matrix, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(features.matrix[0], features.matrix[5])
    rows = next((tmp_path / "vlmtool-home" / "cache" / "features").rglob("rows.f32"))
    with rows.open("ab") as file:
        file.write(b"half a vector")
    again = embed_items(items, engine)  # type: ignore[arg-type]
    assert sum(engine.batches) == 5
    np.testing.assert_array_equal(again.matrix, features.matrix)
    rows.write_bytes(rows.read_bytes()[: 3 * 12])
    third = embed_items(items, engine)  # type: ignore[arg-type]
    assert sum(engine.batches) == 7
    np.testing.assert_array_equal(third.matrix, features.matrix)


def test_features_of_chosen_frames(clip: Path) -> None:
    items = items_of(clip) * 3
    engine = Embedder()
    features = embed_items(items, engine, frames=[90, 10, 200])  # type: ignore[arg-type]
    assert features.frames == (90, 10)
    assert len(features.failed) == 1
    assert not np.array_equal(features.matrix[0], features.matrix[1])


def test_a_hundred_thousand_features_are_read_in_about_a_second(tmp_path: Path) -> None:
    count, width = 100_000, 256
    vectors = np.random.default_rng(0).random((count, width), np.float32)
    keys = [(f"{number:064x}", 0) for number in range(count)]
    with FeatureCache("f" * 64, width, tmp_path) as cache:
        cache.add(list(zip(keys, vectors, strict=True)))
    begun = time.monotonic()
    with FeatureCache("f" * 64, width, tmp_path) as cache:
        places = cache.places()
        matrix = cache.read([places[key] for key in keys])
    assert time.monotonic() - begun < 3
    np.testing.assert_array_equal(matrix, vectors)


def test_spread_has_the_middle_and_at_most_eight() -> None:
    for total in range(1, 400):
        chosen = spread(total, 8)
        assert total // 2 in chosen
        assert len(chosen) == min(total, 8)
        assert chosen[0] == 0
        assert 0 <= chosen[-1] < total


def test_a_cancelled_run_is_said_to_be_cancelled(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    cancel = CancelToken()
    cancel.cancel()
    with FolderLedger(tmp_path / "l.sqlite", SPEC, IDENTITY) as ledger:
        report = run_items(
            items_of(folder),
            SPEC,
            engine=TinyEngine(),  # type: ignore[arg-type]
            ledger=ledger,
            cancel=cancel,
        )
    assert report.cancelled
    assert report.done == 0
