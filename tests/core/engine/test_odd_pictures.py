"""Every task of the starter models on pictures of every odd kind, opened as a run opens them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.batch import RunSpec, run_items
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.ledger import FolderLedger
from vlmtool_core.engine import Engine
from vlmtool_core.records import Label, OutcomeStatus, Task

pytestmark = [pytest.mark.model, pytest.mark.slow]

LABELS = (Label("cat"), Label("text"), Label("a red square"))


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (height, width, channels), np.uint8)


def _dot(path: Path) -> None:
    Image.fromarray(noise(1, 1)).save(path.with_suffix(".png"))


def _ribbon(path: Path) -> None:
    Image.fromarray(noise(1, 20_000)).save(path.with_suffix(".png"))


def _deep(path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 80).reshape(64, 80).astype(np.uint16)
    Image.fromarray(values).save(path.with_suffix(".png"))


def _cmyk(path: Path) -> None:
    Image.fromarray(noise(48, 64)).convert("CMYK").save(path.with_suffix(".jpg"))


def _transparent(path: Path) -> None:
    Image.fromarray(noise(48, 64, 4), "RGBA").save(path.with_suffix(".png"))


def _animated(path: Path) -> None:
    pages = [Image.fromarray(noise(40, 40) // (n + 1)) for n in range(3)]
    pages[0].save(path.with_suffix(".gif"), save_all=True, append_images=pages[1:])


def _misnamed(path: Path) -> None:
    Image.fromarray(noise(48, 64)).save(path.with_suffix(".png"))
    path.with_suffix(".png").rename(path.with_suffix(".jpg"))


KINDS: dict[str, Callable[[Path], None]] = {
    "dot": _dot, "ribbon": _ribbon, "deep": _deep, "cmyk": _cmyk,
    "transparent": _transparent, "animated": _animated, "misnamed": _misnamed,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    for name, write in KINDS.items():
        write(folder / name)
    return folder


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(Task.CLASSIFY),
        RunSpec(Task.CLASSIFY, labels=LABELS),
        RunSpec(Task.DETECT, labels=LABELS),
        RunSpec(Task.CAPTION),
        RunSpec(Task.ASK, question="How many faces are there?"),
        RunSpec(Task.READ),
        RunSpec(Task.EMBED),
    ],
    ids=["classes", "labels", "detect", "caption", "ask", "read", "embed"],
)
def test_no_odd_picture_fails_or_disturbs_another(engine: Engine, folder: Path, spec: RunSpec):
    items = items_of(folder)
    ledger = FolderLedger.for_input(folder, spec, engine.identity(spec.task))
    try:
        report = run_items(items, spec, engine=engine, ledger=ledger)
        rows = {row.item.split(".")[0]: row for row in ledger.rows(items) if row.frame == 0}
    finally:
        ledger.close()
    assert report.failed == 0, report.failures
    assert rows.keys() == KINDS.keys()
    for name, row in rows.items():
        assert row.outcome.status in (OutcomeStatus.OK, OutcomeStatus.EMPTY), name
        for box in row.outcome.boxes:
            assert row.size is not None
            assert 0 <= box.x1 <= box.x2 <= row.size[0], name
            assert 0 <= box.y1 <= box.y2 <= row.size[1], name
    assert rows["ribbon"].size == (20_000, 1)
