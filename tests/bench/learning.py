"""Learning: training time on 1,000 cached pictures, and accuracy on digits at 16 per class."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from tests.bench.common import Measurement, fresh_home

from vlmtool_core.batch.features import embed_items
from vlmtool_core.engine import Engine
from vlmtool_core.project import Project
from vlmtool_core.records import Label, LabelSet
from vlmtool_core.training.probe import fit_probe
from vlmtool_core.training.records import TrainSettings

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHOTS = 16
SEEDS = (0, 1, 2)
PICTURES = int(os.environ.get("BENCH_PICTURES", "1000"))
LABELS = LabelSet("digits", tuple(Label(n, (f"the handwritten digit {n}",)) for n in NAMES))


def bench() -> Iterator[Measurement]:
    with fresh_home() as home:
        engine = Engine()
        truth = _draw(home / "digits", PICTURES)
        with Project.create(home / "project") as project:
            project.set_label_set(LABELS)
            project.add([home / "digits"])
            items = {Path(i.name).name: i.id for i in project.items()}
            for number, name in enumerate(NAMES):
                project.set_label([items[f] for f, t in truth.items() if t == number], name)
            yield from _training_time(project, engine)
            yield from _accuracy(project, engine, truth)


def _draw(folder: Path, count: int) -> dict[str, int]:
    """The first `count` digits of scikit-learn as pictures of 128 x 128; file -> digit."""
    folder.mkdir()
    data = load_digits()
    truth = {}
    for number, (grid, target) in enumerate(zip(data.images, data.target, strict=True)):
        if number == count:
            break
        picture = Image.fromarray((255 - grid * 255 / 16).astype(np.uint8))
        name = f"digit-{number}.png"
        picture.resize((128, 128), Image.Resampling.BICUBIC).save(folder / name)
        truth[name] = int(target)
    return truth


def _training_time(project: Project, engine: Engine) -> Iterator[Measurement]:
    begun = time.perf_counter()
    first = project.train(TrainSettings(), engine=engine)
    yield Measurement(f"first training, {PICTURES} pictures", time.perf_counter() - begun, "s")
    assert first.old is not None
    old, new = 100 * first.old.accuracy.value, 100 * first.new.accuracy.value
    yield Measurement("zero-shot on the hold-out", old, "%")
    yield Measurement("probe on the hold-out", new, "%", old + 10, at_least=True)
    yield Measurement("ECE of the probe", first.new.ece, "", 0.1)
    begun = time.perf_counter()
    project.train(TrainSettings(seed=1), engine=engine)
    seconds = time.perf_counter() - begun
    yield Measurement(f"training on {PICTURES} cached pictures", seconds, "s", 5.0)


def _accuracy(project: Project, engine: Engine, truth: dict[str, int]) -> Iterator[Measurement]:
    """`SHOTS` per class to train on, all others to test; mean over seeds."""
    features = embed_items(project.item_refs(), engine)
    targets = np.array([truth[Path(key).name] for key in features.keys])
    text = engine.text_weights(LABELS.labels)
    ours, reference = [], []
    for seed in SEEDS:
        generator = np.random.default_rng(seed)
        classes = [np.flatnonzero(targets == c) for c in range(10)]
        train = np.concatenate([generator.choice(rows, SHOTS, replace=False) for rows in classes])
        test = np.setdiff1d(np.arange(targets.size), train)
        x, y = features.matrix[train], targets[train]
        probe = fit_probe(x, y, [str(i) for i in train], 10, text_weights=text, seed=seed)
        logits = features.matrix[test] @ probe.weight.T + probe.bias
        ours.append(100 * (logits.argmax(axis=1) == targets[test]).mean())
        fitted = LogisticRegression(max_iter=5000).fit(x, y)
        reference.append(100 * fitted.score(features.matrix[test], targets[test]))
    plain = float(np.mean(reference))
    yield Measurement("scikit-learn, 16 per class, 3 seeds", plain, "%")
    mean = float(np.mean(ours))
    yield Measurement("probe, 16 per class, 3 seeds", mean, "%", plain, at_least=True)
    yield Measurement("lowest of the seeds", float(np.min(ours)), "%")
