"""The engine against pipelines of transformers: same weights, same pictures, one machine.

Each row is a ratio from one run. Weights are random at real sizes, photographs are generated.
BENCH_ENGINE=quick takes a minute or two, BENCH_ENGINE=full the 1,000 pictures of the targets
(hours on two cores); BENCH_ENGINE_ROWS=zero-shot,roof,... keeps to some rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.common import REPOSITORY, Measurement
from tests.bench.photographs import LARGE, SMALL, photographs

# Pictures of (12 MP, 0.2 MP, OWLv2, RT-DETR, captions).
_COUNTS = {
    "quick": (12, 48, 1, 8, 4),
    "default": (64, 256, 2, 32, 8),
    "full": (1000, 1000, 20, 200, 100),
}
_PICTURES = dict(
    zip(
        ("large", "small", "open", "closed", "captions"),
        _COUNTS[os.environ.get("BENCH_ENGINE", "default")],
        strict=True,
    )
)
_ROWS = os.environ.get("BENCH_ENGINE_ROWS", "")


@dataclass(frozen=True)
class Place:
    """A folder for models, pictures and vlmtool's own files."""

    root: Path

    def model(self, kind: str) -> str:
        """The folder of a model, made when it is first asked for."""
        from tests.bench.real_sizes import MODELS

        folder = self.root / "weights" / kind
        return str(folder if folder.is_dir() else MODELS[kind](folder))

    def pictures(self, kind: str, size: tuple[int, int]) -> str:
        folder = self.root / kind
        if not folder.is_dir():
            photographs(folder, _PICTURES[kind], size)
            warm = photographs(folder.with_name(f"{kind}-warm"), 2, size)
            for path in warm:
                # Of other content than the first two, whose embeddings would be known else.
                path.write_bytes(path.read_bytes() + b"warm")
        return str(folder)

    def side(self, name: str, **asked: Any) -> dict[str, Any]:
        """Run one side in a process of its own."""
        home = self.root / "home"
        environment = {**os.environ, "VLMTOOL_HOME": str(home), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.engine_side", json.dumps({"side": name, **asked})],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def bench() -> Iterator[Measurement]:
    yield Measurement("load average before", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory(prefix="vlmtool-bench-") as folder:
        place = Place(Path(folder))
        for name, rows in _GROUPS.items():
            if not _ROWS or name in _ROWS.split(","):
                yield from rows(place)
    yield Measurement("load average after", os.getloadavg()[0], "")


def _rate(found: dict[str, Any]) -> float:
    return float(found["pictures"] / found["seconds"])


def _ratio(name: str, mine: dict[str, Any], peer: dict[str, Any], target: float) -> Measurement:
    told = f"{name} ({mine['pictures']} pictures: {_rate(mine):.3g} against {_rate(peer):.3g}/s"
    told += f" at batch {peer['batch']}" if "batch" in peer else ""
    told += f"; {peer['cpu'] * mine['pictures'] / peer['pictures'] / mine['cpu']:.3g}x less"
    told += " processor time)"
    return Measurement(told, _rate(mine) / _rate(peer), "x", target, at_least=True)


def _zero_shot(place: Place) -> Iterator[Measurement]:
    from tests.bench.real_sizes import LABELS, WORDS

    model, others = place.model("clip"), list(reversed(WORDS[:20]))
    place.side("prepare", model=model, task="embed", labels=[])
    task = "zero-shot-image-classification"
    for kind, size, target in (("large", LARGE, 4.0), ("small", SMALL, 2.5)):
        folder = place.pictures(kind, size)
        labels = list(LABELS)
        mine = place.side(
            "ours", model=model, task="classify", folder=folder, labels=labels, others=others
        )
        peer = place.side("peer_pipeline", model=model, task=task, folder=folder, labels=labels)
        row = f"zero-shot ViT-B/32, 20 labels, {kind} photos, {mine['dtype']}"
        yield _ratio(row, mine, peer, target)
        again = mine["again"] * peer["pictures"] / mine["pictures"]
        target_again = 200.0 if kind == "large" else None
        yield Measurement(
            f"other labels, {kind} photos", peer["seconds"] / again, "x", target_again, True
        )
        yield Measurement(f"peak memory, {kind} photos", mine["peak"] / peer["peak"], "x", 1.0)
    same = place.side("ours", model=model, task="classify", folder=folder, labels=labels,
                      precision="float32")  # fmt: skip
    yield _ratio("the same in float32, small photos", same, peer, 1.0)


def _roof(place: Place) -> Iterator[Measurement]:
    folder = place.pictures("small", SMALL)
    found = place.side("roof", model=place.model("clip"), folder=folder)
    name = f"share of the roof, small photos, {found['dtype']}, batch {found['batch']}"
    name += f" (of processor time {found['cpu']:.3g})"
    yield Measurement(name, found["share"], "", 0.85, at_least=True)


def _open_detection(place: Place) -> Iterator[Measurement]:
    from tests.bench.real_sizes import LABELS

    model, folder = place.model("owlv2"), place.pictures("open", SMALL)
    asked = {"model": model, "folder": folder, "labels": list(LABELS)}
    place.side("prepare", model=model, task="detect", labels=list(LABELS))
    mine = place.side("ours", task="detect", **asked)
    peer = place.side(
        "peer_pipeline", task="zero-shot-object-detection", sizes=[1], subset=1, **asked
    )
    yield _ratio(f"OWLv2-base, 20 labels, {mine['dtype']}", mine, peer, 10.0)


def _closed_detection(place: Place) -> Iterator[Measurement]:
    model, folder = place.model("rt-detr"), place.pictures("closed", SMALL)
    asked = {"model": model, "folder": folder, "labels": []}
    place.side("prepare", model=model, task="detect", labels=[])
    mine = place.side("ours", task="detect", **asked)
    peer = place.side("peer_pipeline", task="object-detection", subset=8, sizes=[1, 8], **asked)
    yield _ratio(f"RT-DETR v2 r18, {mine['dtype']}", mine, peer, 1.5)


def _captions(place: Place) -> Iterator[Measurement]:
    model, folder = place.model("smolvlm"), place.pictures("captions", SMALL)
    mine = place.side("ours", model=model, task="caption", folder=folder, labels=[])
    peer = place.side("peer_captions", model=model, folder=folder)
    yield _ratio(f"captions, SmolVLM-256M, {mine['dtype']}", mine, peer, 2.0)


def _waiting(place: Place) -> Iterator[Measurement]:
    from tests.bench.real_sizes import LABELS

    asked = {"model": place.model("clip"), "folder": place.pictures("small", SMALL)}
    found = place.side("waiting", labels=list(LABELS), **asked)
    yield Measurement("first result beyond its compute time", 1000 * found["first"], "ms", 30)
    if found["cancel"] is not None:
        yield Measurement("cancel of a run", 1000 * found["cancel"], "ms", 300)
    cached = place.side("rescoring", model=place.model("clip"), count=100_000)
    yield Measurement("other labels for 100,000 cached pictures", cached["seconds"], "s", 1.0)


def _gpu(place: Place) -> Iterator[Measurement]:
    import torch

    if not torch.cuda.is_available():
        return
    from tests.bench.engine_gpu import on_gpu

    yield from on_gpu(place.root)


_GROUPS: dict[str, Callable[[Place], Iterator[Measurement]]] = {
    "zero-shot": _zero_shot,
    "roof": _roof,
    "open-detection": _open_detection,
    "closed-detection": _closed_detection,
    "captions": _captions,
    "waiting": _waiting,
    "gpu": _gpu,
}
