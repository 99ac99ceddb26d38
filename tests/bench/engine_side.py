"""One side of a comparison in a process of its own: `python -m tests.bench.engine_side JSON`.

The last line on stdout is a JSON object with seconds, pictures and the peak of memory in bytes.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

TOKENS = 24
_TRIED = (1, 8, 32)


def _files(folder: str, count: int | None = None) -> list[str]:
    return sorted(map(str, Path(folder).glob("*.jpg")))[:count]


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _measured(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and seconds of processor time, which other programs disturb less."""
    began = time.process_time()
    seconds = _timed(call)
    return {"seconds": seconds, "cpu": time.process_time() - began}


# ---- transformers -------------------------------------------------------------------------------


def peer_pipeline(model: str, task: str, folder: str, labels: list[str], **options: Any) -> Any:
    """The pipeline of transformers over a list of files, at the best of its batch sizes."""
    from transformers import pipeline

    extra = {"dtype": options["dtype"]} if "dtype" in options else {}
    pipe = pipeline(task, model=model, device="cpu", **extra)
    more = {"candidate_labels": labels} if labels else {"threshold": 0.5}
    files = _files(folder)
    subset = files[: options.get("subset", 16)]

    def run(paths: Sequence[str], size: int) -> None:
        for _ in pipe(list(paths), batch_size=size, **more):
            pass

    run(subset[:1], 1)
    rates = {}
    for size in options.get("sizes", _TRIED):
        try:
            rates[size] = len(subset) / _timed(lambda size=size: run(subset, size))
        except IndexError:
            # Some detectors' outputs cannot be taken apart by the pipeline: one picture at a time.
            print(f"batches of {size} fail", file=sys.stderr)
    best = max(rates, key=lambda n: rates[n])
    return {**_measured(lambda: run(files, best)), "pictures": len(files), "batch": best}


def peer_captions(model: str, folder: str, **_: Any) -> Any:
    """`generate` of transformers, one picture after the other."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(model)
    network = AutoModelForImageTextToText.from_pretrained(model).eval()
    content = [{"type": "image"}, {"type": "text", "text": "Describe this picture."}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )

    @torch.inference_mode()
    def run(paths: Sequence[str]) -> None:
        for path in paths:
            picture = Image.open(path).convert("RGB")
            inputs = processor(text=text, images=[picture], return_tensors="pt")
            inputs = inputs.to(network.dtype)
            network.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)

    files = _files(folder)
    run(files[:1])
    return {**_measured(lambda: run(files)), "pictures": len(files)}


# ---- vlmtool ------------------------------------------------------------------------------------


@contextmanager
def _engine(model: str, **options: Any) -> Iterator[Any]:
    """An engine as the settings make it by default, with this one model in its store."""
    from vlmtool_core.engine import Engine, ModelStore
    from vlmtool_core.engine.packs.pack import write_pack
    from vlmtool_core.engine.runtime.numerics import Numerics

    store = ModelStore(Path(os.environ["VLMTOOL_HOME"]) / "models")
    name = Path(model).name
    if name not in {pack.id for pack in store.installed()}:
        store.add_folder(Path(model), name)
    if options.get("tokens"):
        pack = store.pack(name)
        write_pack(replace(pack, options={**pack.options, "max_new_tokens": TOKENS}), pack.path)
    engine = Engine(store, device="cpu", numerics=Numerics(options.get("precision", "auto")))
    engine.load(name)
    yield engine


def ours(model: str, task: str, folder: str, labels: list[str], **options: Any) -> Any:
    """A run over a folder, its table on disk included; then another one with `others`."""
    from vlmtool_core.batch import RunSpec
    from vlmtool_core.records import Label, Task

    name = Path(model).name
    with _engine(model, tokens=task == "caption", **options) as engine:

        def spec(names: Sequence[str]) -> RunSpec:
            prompt = "Describe this picture." if task == "caption" else None
            given = tuple(Label(n) for n in names)
            return RunSpec(Task(task), model=name, labels=given, prompt=prompt)

        warm = Path(folder).with_name(Path(folder).name + "-warm")
        _run(engine, warm, spec([f"{n} {n}" for n in labels]))
        found: dict[str, Any] = _measured(lambda: _run(engine, Path(folder), spec(labels)))
        if "others" in options:
            again = spec(options["others"])
            found["again"] = _timed(lambda: _run(engine, Path(folder), again))
        found["dtype"] = engine.family(name).dtype
    return {**found, "pictures": len(_files(folder))}


def _run(engine: Any, folder: Path, spec: Any) -> None:
    from vlmtool_core.batch import FolderLedger, run_items
    from vlmtool_core.batch.folder import items_of

    items = items_of(folder)
    with FolderLedger.for_input(folder, spec, engine.identity(spec.task, spec.model)) as ledger:
        report = run_items(items, spec, engine=engine, ledger=ledger)
    if report.failed or report.done != len(items):
        raise RuntimeError(f"the run failed: {report}")


def prepare(model: str, task: str, labels: list[str], **options: Any) -> Any:
    """What happens once for each model: precisions compared, the batch size found."""
    from vlmtool_core.records import Label, Task

    name = Path(model).name
    with _engine(model, **options) as engine:
        given = [Label(n) for n in labels]
        return {"batch": engine.batch_size(Task(task), given, model=name)}


def roof(model: str, folder: str, **options: Any) -> Any:
    """Whole runs by turns with the image model's own forward on as many ready tensors."""
    import torch

    from vlmtool_core.batch import RunSpec
    from vlmtool_core.batch.predict import Predictor
    from vlmtool_core.records import Label, Task

    name = Path(model).name
    count = len(_files(folder))
    with _engine(model, **options) as engine, torch.inference_mode():
        family = engine.family(name)
        size = Predictor(engine, RunSpec(Task.EMBED, model=name), batch_size=0).batch_size
        ready = torch.randn(size, 3, 224, 224).to(family._model.dtype)

        def forward() -> None:
            for _ in range(-(-count // size)):
                family._model.get_image_features(pixel_values=ready)

        shares, work = [], []
        forward()
        for turn in range(options.get("turns", 3)):
            labels = tuple(Label(f"cat {turn} {n}") for n in range(20))
            spec = RunSpec(Task.CLASSIFY, model=name, labels=labels)
            engine.text_weights(labels, model=name)
            before = _measured(forward)
            _forget_embeddings()
            whole = _measured(lambda spec=spec: _run(engine, Path(folder), spec))
            after, part = _measured(forward), count / (-(-count // size) * size)
            for kind, found in (("seconds", shares), ("cpu", work)):
                found.append((before[kind] + after[kind]) / 2 * part / whole[kind])
    return {
        "share": statistics.median(shares),
        "cpu": statistics.median(work),
        "batch": size,
        "dtype": family.dtype,
    }


def _forget_embeddings() -> None:
    import shutil

    from vlmtool_core import paths

    shutil.rmtree(paths.cache_dir() / "features", ignore_errors=True)


def waiting(model: str, folder: str, labels: list[str], **_: Any) -> Any:
    """What somebody waits for: the first result beyond its compute time, and the end of a run."""
    import threading

    from vlmtool_core.batch import FolderLedger, RunSpec, run_items
    from vlmtool_core.batch.folder import items_of
    from vlmtool_core.batch.single import predict_one
    from vlmtool_core.jobs import CancelToken
    from vlmtool_core.media import open_media
    from vlmtool_core.records import Label, Task

    name = Path(model).name
    spec = RunSpec(Task.CLASSIFY, model=name, labels=tuple(Label(n) for n in labels))
    items = items_of(Path(folder))
    with _engine(model) as engine:
        identity = engine.identity(Task.CLASSIFY, name)
        extra = []
        for item in items[:12]:
            whole = _timed(
                lambda item=item: predict_one(item, 0, spec, engine=engine, model=identity)
            )
            with open_media(item.path) as source:
                frame = engine.image_input(Task.CLASSIFY, name).frame(source.frame(0))
            alone = _timed(lambda frame=frame: engine.classify([frame], spec.labels, model=name))
            extra.append(whole - alone)
        cancel, pressed = CancelToken(), [0.0]

        def press() -> None:
            pressed[0] = time.perf_counter()
            cancel.cancel()

        threading.Timer(0.7, press).start()
        with FolderLedger.for_input(Path(folder), spec, identity) as ledger:
            run_items(items, spec, engine=engine, ledger=ledger, cancel=cancel)
        ended = time.perf_counter() - pressed[0]
    return {"first": statistics.median(extra[2:]), "cancel": ended if pressed[0] else None}


def rescoring(model: str, count: int, **_: Any) -> Any:
    """Other labels for `count` cached embeddings of 512 numbers."""
    import numpy as np

    from vlmtool_core.batch.features import FeatureCache
    from vlmtool_core.batch.rescoring import rescore
    from vlmtool_core.records import ItemRef, Label, MediaKind, Task

    name = Path(model).name
    with _engine(model) as engine:
        names = [f"{n:064x}" for n in range(count)]
        rows = np.random.default_rng(0).normal(size=(count, 512)).astype(np.float32)
        with FeatureCache(engine.identity(Task.EMBED, name).fingerprint, 512) as cache:
            cache.add([((key, 0), row) for key, row in zip(names, rows, strict=True)])
        items = [ItemRef(n, Path(n), MediaKind.IMAGE, sha256=n) for n in names]
        labels = [Label(f"cat {n}") for n in range(20)]
        rescore(items[:1], labels, engine=engine, model=name)
        return {
            "seconds": _timed(lambda: rescore(items, labels, engine=engine, model=name)),
            "pictures": count,
        }


SIDES = {
    "peer_pipeline": peer_pipeline,
    "peer_captions": peer_captions,
    "prepare": prepare,
    "ours": ours,
    "roof": roof,
    "waiting": waiting,
    "rescoring": rescoring,
}


def _peak() -> int:
    """The most memory that this process held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    result = SIDES[asked.pop("side")](**asked)
    print(json.dumps({**result, "peak": _peak()}))
