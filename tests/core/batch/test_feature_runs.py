"""Runs by a trained head compute each embedding once, and end as without the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_engine import IDENTITY, TinyEngine

from vlmtool_core.batch import RunSpec, run_items
from vlmtool_core.batch.features import embed_items
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.ledger import FolderLedger
from vlmtool_core.engine.heads import ProbeHead
from vlmtool_core.engine.results import cut_scores
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Outcome, OutcomeStatus, ResultRow, Task

Pictures = Callable[..., Path]


class Recorded(TinyEngine):
    """Its embeddings say how they were made."""

    def embed(self, frames: Sequence[Frame], **options: Any) -> list[Outcome]:
        return [
            replace(outcome, provenance={"input": [3, 3], "crop": [0.5, 1.25]})
            for outcome in super().embed(frames, **options)
        ]


def head(seed: int = 0, fingerprint: str = IDENTITY.fingerprint) -> ProbeHead:
    weight = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    bias = np.zeros(2, np.float32)
    return ProbeHead(("dark", "light"), weight, bias, 0.5, True, IDENTITY.id, fingerprint)


def run(folder: Path, spec: RunSpec, engine: TinyEngine, name: str, **options: Any) -> Any:
    items = items_of(folder)
    with FolderLedger(folder.parent / f"{name}.sqlite", spec, IDENTITY) as ledger:
        report = run_items(items, spec, engine=engine, ledger=ledger, **options)  # type: ignore[arg-type]
        return report, list(ledger.rows(items))


def spec_of(folder: Path, seed: int = 0, **options: Any) -> RunSpec:
    path = folder.parent / f"head{seed}"
    path.mkdir(exist_ok=True)
    head(seed).save(path)
    return RunSpec(Task.CLASSIFY, head=path, head_version=f"v{seed}", **options)


def outcomes(rows: Sequence[ResultRow]) -> dict[tuple[str, int], Outcome]:
    return {(row.item, row.frame): row.outcome for row in rows}


def test_after_training_a_run_needs_no_model(pictures: Pictures) -> None:
    folder = pictures(20)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    engine = Recorded()
    embed_items(items_of(folder), engine)  # type: ignore[arg-type]
    assert sum(engine.batches) == 20
    report, rows = run(folder, spec_of(folder), engine, "cached")
    assert sum(engine.batches) == 20
    assert (report.ok, report.failed) == (20, 1)
    fresh = Recorded()
    embedded = fresh.embed([_frame(folder / f"p{n}.png") for n in range(20)])
    expected = [cut_scores(o, None, None) for o in head().outcomes(embedded)]
    got = outcomes(rows)
    for number, outcome in enumerate(expected):
        kept = got[f"p{number}.png", 0]
        picture = kept.provenance["picture"]
        assert picture["format"] == "PNG"
        assert kept.provenance == {**outcome.provenance, "picture": picture}
        assert [s.label for s in kept.scores] == [s.label for s in outcome.scores]
        np.testing.assert_allclose(
            [s.score for s in kept.scores], [s.score for s in outcome.scores], rtol=1e-5
        )
    assert got["broken.png", 0].status is OutcomeStatus.FAILED


def test_a_run_fills_the_cache_for_the_next_version(pictures: Pictures) -> None:
    folder, engine = pictures(20), Recorded()
    _, first = run(folder, spec_of(folder, 1), engine, "first")
    assert sum(engine.batches) == 20
    _, again = run(folder, spec_of(folder, 1), engine, "again")
    assert outcomes(again) == outcomes(first)
    _, second = run(folder, spec_of(folder, 2), engine, "second")
    _, embedded = run(folder, RunSpec(Task.EMBED), engine, "embed")
    assert sum(engine.batches) == 20
    assert outcomes(second) != outcomes(first)
    features = embed_items(items_of(folder), engine)  # type: ignore[arg-type]
    assert sum(engine.batches) == 20
    rows = outcomes(embedded)
    for name, vector in zip(features.keys, features.matrix, strict=True):
        np.testing.assert_array_equal(rows[name, 0].embedding, vector)


def test_frames_of_a_video_have_their_own_features(clip: Path) -> None:
    engine = Recorded()
    spec = spec_of(clip)
    _, first = run(clip, spec, engine, "first")
    computed = sum(engine.batches)
    assert computed == len(first) == 5
    _, again = run(clip, spec, engine, "again")
    assert sum(engine.batches) == computed
    assert outcomes(again) == outcomes(first)
    assert len({row.outcome.scores for row in first}) == 5


def test_a_stopped_run_goes_on_with_what_is_left(pictures: Pictures) -> None:
    from vlmtool_core.jobs import CancelToken

    folder, cancel = pictures(60), CancelToken()
    engine = Recorded(hook=lambda _f: cancel.cancel() if len(engine.batches) == 1 else None)
    stopped, _ = run(folder, spec_of(folder), engine, "run", cancel=cancel)
    assert stopped.cancelled
    engine = Recorded()
    report, rows = run(folder, spec_of(folder), engine, "run")
    assert report.skipped == stopped.done
    assert report.ok == len(rows) == 60
    assert sum(engine.batches) < 60


def test_a_threshold_and_a_foreign_head(pictures: Pictures) -> None:
    folder = pictures(4)
    _, rows = run(folder, spec_of(folder, threshold=0.6), Recorded(), "cut")
    assert all(s.score >= 0.6 for row in rows for s in row.outcome.scores)
    assert all(len(row.outcome.scores) < 2 for row in rows)
    foreign = folder.parent / "foreign"
    foreign.mkdir()
    head(fingerprint="0" * 64).save(foreign)
    with pytest.raises(UsageError, match="another model"):
        run(folder, RunSpec(Task.CLASSIFY, head=foreign), Recorded(), "foreign")


def test_a_cache_that_cannot_be_used_stops_no_run(pictures: Pictures, home: Path) -> None:
    folder, engine = pictures(6), Recorded()
    (home / "cache").mkdir(exist_ok=True)
    (home / "cache" / "features").write_text("a file where the folder should be")
    report, _ = run(folder, spec_of(folder), engine, "run")
    assert report.ok == 6
    assert sum(engine.batches) == 6


def _frame(path: Path) -> Frame:
    from vlmtool_core.media import open_media

    with open_media(path) as source:
        return source.frame(0)
