"""Zero-shot runs keep embeddings: other labels open no file and ask no image model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_clip import save_tiny_clip

from vlmtool_core.batch import RunSpec, run_items
from vlmtool_core.batch.feature_predictor import LabelPredictor, predictor_for
from vlmtool_core.batch.features import FeatureCache
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.ledger import FolderLedger
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.rescoring import rescore
from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.errors import TaskNotServedError
from vlmtool_core.records import (
    Frame,
    ItemRef,
    Label,
    MediaKind,
    Outcome,
    OutcomeStatus,
    ResultRow,
    Task,
)

Pictures = Callable[..., Path]
LABELS = (Label("cat"), Label("dog"), Label("red"))
OTHERS = (Label("green"), Label("dog"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = save_tiny_clip(tmp_path_factory.mktemp("packs") / "clip")
    store = ModelStore(tmp_path_factory.mktemp("store"))
    store.add_folder(folder, "clip")
    return store


class Counting(Engine):
    """Counts the pictures that the image model sees."""

    seen = 0

    def embed(self, frames: Any, **options: Any) -> list[Outcome]:
        self.seen += len(frames)
        return super().embed(frames, **options)

    def batch_size(self, *_: Any, **__: Any) -> int:
        return 5


@pytest.fixture
def engine(store: ModelStore, home: Path) -> Iterator[Counting]:
    engine = Counting(store, device="cpu")
    yield engine
    engine.unload()


def spec(labels: tuple[Label, ...] = LABELS, **options: Any) -> RunSpec:
    return RunSpec(Task.CLASSIFY, model="clip", labels=labels, **options)


def run(folder: Path, wanted: RunSpec, engine: Engine) -> list[ResultRow]:
    items = items_of(folder)
    model = engine.identity(wanted.task, wanted.model)
    with FolderLedger.for_input(folder, wanted, model) as ledger:
        run_items(items, wanted, engine=engine, ledger=ledger)
        return list(ledger.rows(items))


def scores(outcome: Outcome) -> dict[str, float]:
    return {score.label: score.score for score in outcome.scores}


@pytest.mark.parametrize("exclusive", [True, False])
def test_results_are_those_of_the_direct_way(
    pictures: Pictures, engine: Counting, exclusive: bool
) -> None:
    folder = pictures(9)
    wanted = spec(exclusive=exclusive, threshold=0.2)
    assert isinstance(predictor_for(engine, wanted, batch_size=4), LabelPredictor)
    direct = Predictor(engine, wanted)([_frame(item) for item in items_of(folder)])
    for _ in range(2):
        rows = run(folder, wanted, engine)
        for row, expected in zip(rows, direct, strict=True):
            assert scores(row.outcome) == pytest.approx(scores(expected), abs=1e-5)
            assert row.outcome.provenance == expected.provenance


def test_other_labels_open_no_file(pictures: Pictures, engine: Counting) -> None:
    folder = pictures(12)
    first = run(folder, spec(), engine)
    assert engine.seen == 12
    for path in folder.iterdir():
        # Whoever opens it now fails; to a glance at the folder nothing has changed.
        stat = path.stat()
        path.write_bytes(b"\0" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = run(folder, spec(OTHERS), engine)
    assert engine.seen == 12
    assert all(row.outcome.status is OutcomeStatus.OK for row in second)
    assert [(r.sha256, r.size, r.time_s) for r in second] == [
        (r.sha256, r.size, r.time_s) for r in first
    ]
    assert scores(second[0].outcome).keys() == {"green", "dog"}


def test_what_changed_or_is_new_is_embedded(pictures: Pictures, engine: Counting) -> None:
    folder = pictures(4)
    run(folder, spec(), engine)
    (folder / "p2.png").write_bytes((folder / "p3.png").read_bytes())
    pictures(5, "more").joinpath("p4.png").rename(folder / "p4.png")
    rows = run(folder, spec(OTHERS), engine)
    assert engine.seen == 4 + 1  # the copy of p3 is known by its content
    assert len(rows) == 5
    assert rows[2].outcome.scores == rows[3].outcome.scores


def test_frames_of_a_video_are_not_decoded_again(clip: Path, engine: Counting) -> None:
    first = run(clip, spec(), engine)
    assert engine.seen == len(first) == 5
    second = run(clip, spec(OTHERS), engine)
    assert engine.seen == 5
    assert [r.time_s for r in second] == [r.time_s for r in first]


def test_a_failure_is_not_kept(pictures: Pictures, engine: Counting) -> None:
    folder = pictures(3)
    (folder / "p1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for labels in (LABELS, OTHERS):
        statuses = [row.outcome.status for row in run(folder, spec(labels), engine)]
        assert statuses == [OutcomeStatus.OK, OutcomeStatus.FAILED, OutcomeStatus.OK]


def test_scores_of_all_at_once_are_those_of_a_run(pictures: Pictures, engine: Counting) -> None:
    folder = pictures(6)
    run(folder, spec(), engine)
    rows = run(folder, spec(OTHERS), engine)
    items = [replace(i, sha256=r.sha256) for i, r in zip(items_of(folder), rows, strict=True)]
    stranger = ItemRef("s.png", folder / "s.png", MediaKind.IMAGE, sha256="0" * 64)
    found = rescore([items[0], stranger, *items[1:]], OTHERS, engine=engine, model="clip")
    assert found.labels == ("green", "dog")
    assert found.places.tolist() == [0, 2, 3, 4, 5, 6]
    for row, values in zip(rows, found.scores, strict=True):
        expected = dict(zip(found.labels, map(float, values), strict=True))
        assert scores(row.outcome) == pytest.approx(expected, abs=1e-6)


def test_models_with_classes_of_their_own_cannot_rescore(engine: Counting) -> None:
    with pytest.raises(TaskNotServedError, match="by embeddings"):
        rescore([], LABELS, engine=engine, model="starter-detect")


@pytest.mark.slow
def test_100000_cached_pictures_get_other_labels_within_a_second(
    tmp_path_factory: pytest.TempPathFactory, home: Path
) -> None:
    folder = save_tiny_clip(tmp_path_factory.mktemp("wide") / "clip", projection=512)
    store = ModelStore(tmp_path_factory.mktemp("wide-store"))
    store.add_folder(folder, "clip")
    engine = Engine(store, device="cpu")
    names = [f"{n:064x}" for n in range(100_000)]
    vectors = np.random.default_rng(0).normal(size=(len(names), 512)).astype(np.float32)
    fingerprint = engine.identity(Task.EMBED, "clip").fingerprint
    with FeatureCache(fingerprint, 512) as cache:
        cache.add([((name, 0), vector) for name, vector in zip(names, vectors, strict=True)])
    items = [ItemRef(name, Path(name), MediaKind.IMAGE, sha256=name) for name in names]
    labels = [Label(f"red {n}") for n in range(20)]
    rescore(items[:1], labels, engine=engine, model="clip")  # the texts are encoded
    began = time.perf_counter()
    found = rescore(items, labels, engine=engine, model="clip")
    assert time.perf_counter() - began < 1.0
    assert found.scores.shape == (100_000, 20)
    np.testing.assert_allclose(found.scores.sum(axis=1), 1, atol=1e-4)


def _frame(item: ItemRef) -> Frame:
    from vlmtool_core.media import open_media

    with open_media(item.path) as source:
        return source.frame(0)
