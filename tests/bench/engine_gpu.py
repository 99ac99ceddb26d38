"""ViT-B/16 embeddings on a GPU, from ready tensors and from files, and the share of its peak."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tests.bench.common import Measurement
from tests.bench.photographs import SMALL, photographs
from tests.bench.real_sizes import clip

# Of the image tower on 224 pixels, two for each multiplication and addition.
GFLOP = 35.13
# Dense bfloat16 of the cards, TFLOP/s, by a part of their name; the whole of it is never reached.
PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40": 181, "L4": 121, "4090": 165, "5090": 210}
BATCH = 512
FILES = int(os.environ.get("BENCH_GPU_PICTURES", "8192"))


def on_gpu(root: Path) -> Iterator[Measurement]:
    from vlmtool_core.batch import FolderLedger, RunSpec, run_items
    from vlmtool_core.batch.folder import items_of
    from vlmtool_core.engine import Engine, ModelStore
    from vlmtool_core.engine.runtime.numerics import Numerics
    from vlmtool_core.records import Task

    os.environ["VLMTOOL_HOME"] = str(root / "gpu-home")
    store = ModelStore(root / "gpu-home" / "models")
    store.add_folder(clip(root / "weights" / "clip-b16", patch=16), "clip-b16")
    folder = root / "gpu-files"
    photographs(folder, FILES, SMALL)
    for compiled in (False, True):
        engine = Engine(store, device="cuda", numerics=Numerics("bfloat16", compiled=compiled))
        rate = _from_tensors(engine)
        name = f"ViT-B/16 embeddings from ready tensors{', compiled' if compiled else ''}"
        yield Measurement(name, rate, "pictures/s")
        peak = _peak()
        if peak:
            yield Measurement("share of the card's peak", rate * GFLOP / 1000 / peak, "", 0.5, True)
    engine = Engine(store, device="cuda", numerics=Numerics("bfloat16"))
    spec = RunSpec(Task.EMBED, model="clip-b16")
    engine.batch_size(Task.EMBED, model="clip-b16")
    identity = engine.identity(Task.EMBED, "clip-b16")
    with FolderLedger.for_input(folder, spec, identity) as ledger:
        began = time.perf_counter()
        run_items(items_of(folder), spec, engine=engine, ledger=ledger)
        seconds = time.perf_counter() - began
    yield Measurement("ViT-B/16 embeddings from files", FILES / seconds, "pictures/s")
    decoding = f"({os.cpu_count()} cores decode them)"
    yield Measurement(
        f"the same for each core {decoding}", FILES / seconds / _cores(), "pictures/s"
    )


@torch.inference_mode()
def _from_tensors(engine: object) -> float:
    """Pictures per second of uint8 tensors that lie in pinned memory."""
    from vlmtool_core.engine import Engine

    assert isinstance(engine, Engine)
    family = engine.family("clip-b16")
    steps, _ = family._image_input  # type: ignore[attr-defined]
    ready = torch.randint(0, 255, (BATCH, 224, 224, 3), dtype=torch.uint8).numpy()

    def once() -> None:
        pixels = steps.normalised(ready, "cuda", torch.bfloat16)
        family._model.get_image_features(pixel_values=pixels)  # type: ignore[attr-defined]

    for _ in range(5):
        once()
    torch.cuda.synchronize()
    began, rounds = time.perf_counter(), 20
    for _ in range(rounds):
        once()
    torch.cuda.synchronize()
    return rounds * BATCH / (time.perf_counter() - began)


def _peak() -> float | None:
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def _cores() -> int:
    return os.cpu_count() or 1
