"""A tiny real pack, a folder of 200 items of every kind, and the table that `local` makes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from vlmtool_core.batch import FolderLedger, RunReport, RunSpec, run_items
from vlmtool_core.batch.executors import executor_for
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.formats.jsonl import write_results
from vlmtool_core.records import ItemRef, Task

sys.path.insert(0, str(Path(__file__).parents[2] / "media"))

CLASSIFY = RunSpec(Task.CLASSIFY, model="tiny")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store that holds one pack, "tiny": a ViT with random weights."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pack") / "tiny"
    names = dict(enumerate(["cat", "dog", "bird"]))
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16, id2label=names, label2id={v: k for k, v in names.items()},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    root = tmp_path_factory.mktemp("models")
    ModelStore(root).add_folder(folder, "tiny", copy=True)
    return root


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 items: pictures of many sizes, three that are broken, a video and a DICOM series."""
    from media_dicoms import write_dicom

    folder = tmp_path_factory.mktemp("in")
    rng = np.random.default_rng(3)
    for number in range(195):
        coarse = rng.integers(0, 255, (8, 12, 3), np.uint8)
        size = (400 + 7 * (number % 11), 300 + 5 * (number % 7))
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(
            folder / f"p{number}.jpg"
        )
    (folder / "a-broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "p50-empty.jpg").write_bytes(b"")
    (folder / "p90-cut.jpg").write_bytes((folder / "p90.jpg").read_bytes()[:300])
    _write_clip(folder / "p120.mp4")
    (folder / "series").mkdir()
    for number in range(20):
        pixels = rng.integers(0, 2000, (48, 64), np.uint16)
        position = [0, 0, float(number)]
        write_dicom(
            folder / "series" / f"{number}.dcm", pixels, InstanceNumber=number + 1,
            ImagePositionPatient=position, ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1], SliceThickness=1,
        )  # fmt: skip
    return folder


def _write_clip(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(100):
            pixels = np.full((48, 64, 3), 2 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@dataclass
class Result:
    report: RunReport
    table: str


RunOn = Callable[..., Result]


@pytest.fixture
def run_on(models: Path, tmp_path: Path) -> RunOn:
    """`run_on("processes:2", folder)`: the report, and the table as the program writes it.

    ledger : name of the file that keeps what is done
    """

    def run(
        name: str, folder: Path, spec: RunSpec = CLASSIFY, *, ledger: str = "", **options: Any
    ) -> Result:
        items = items_of(folder)
        engine = Engine(ModelStore(models), device="cpu")
        file = tmp_path / f"{ledger or name.replace(':', '-')}.sqlite"
        with FolderLedger(file, spec, Predictor(engine, spec).identity()) as kept:
            report = run_items(
                items, spec, engine=engine, ledger=kept, executor=executor_for(name), **options
            )
            return Result(report, _table(kept, items))

    return run


def _table(ledger: FolderLedger, items: list[ItemRef]) -> str:
    return "".join(write_results(ledger.rows(items)))


def _set_batch_size(home: Path, size: int) -> None:
    """Given, lest it is measured anew in every test's fresh home."""
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "settings.toml").write_text(f"batch_size = {size}\n")


@pytest.fixture(autouse=True)
def _batches_of_sixteen(home: Path) -> None:
    _set_batch_size(home, 16)


@pytest.fixture(scope="session")
def expected(models: Path, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the local executor makes of `inputs`."""
    home = tmp_path_factory.mktemp("home")
    _set_batch_size(home, 16)
    items = items_of(inputs)
    assert len(items) == 200
    engine = Engine(ModelStore(models), device="cpu")
    file = home / "ledger.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLMTOOL_HOME", str(home))
        return _expected(items, engine, file)


def _expected(items: list[ItemRef], engine: Engine, file: Path) -> str:
    with FolderLedger(file, CLASSIFY, Predictor(engine, CLASSIFY).identity()) as ledger:
        report = run_items(items, CLASSIFY, engine=engine, ledger=ledger)
        assert report.failed == 3
        assert report.ok == 196 - 1 + 8 + 5
        return _table(ledger, items)


@pytest.fixture
def some(inputs: Path, tmp_path: Path, home: Path) -> Path:
    """Twelve pictures, two to a part, each in a batch of its own."""
    _set_batch_size(home, 1)
    folder = tmp_path / "some"
    folder.mkdir()
    for number in range(12):
        os.link(inputs / f"p{number}.jpg", folder / f"p{number}.jpg")
    return folder


# Read by every Python that starts with it on its path: workers and actors, not this process.
_DEADLY = """
import os, signal, sys
def watch(event, arguments):
    deadly = "VLMTOOL_TEST_SPARE" not in os.environ
    if deadly and event == "open" and str(arguments[0]).endswith("deadly.jpg"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""


@pytest.fixture
def deadly(some: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`some`, with a thirteenth picture that kills each worker that opens it, until the variable
    VLMTOOL_TEST_SPARE is set."""
    os.link(inputs / "p41.jpg", some / "p7-deadly.jpg")
    code = tmp_path / "code"
    code.mkdir()
    (code / "sitecustomize.py").write_text(_DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(code), prepend=os.pathsep)
    return some


@pytest.fixture(autouse=True)
def _no_process_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [
        process
        for process in set(psutil.Process().children(recursive=True)) - before
        if "resource_tracker" not in " ".join(process.cmdline())
    ]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive
