"""Learning in a real project: proof on a fixed hold-out, the gate, versions and the way back."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vlmtool_core.engine.heads import ProbeHead
from vlmtool_core.errors import (
    CancelledError,
    GateRefusedError,
    NotEnoughLabelsError,
    PackIntegrityError,
    ProjectBusyError,
    RecordNotFoundError,
    StorageError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken
from vlmtool_core.project import Project
from vlmtool_core.project.learning import resolve_model
from vlmtool_core.project.model_versions import history
from vlmtool_core.records import Task
from vlmtool_core.training.records import CurvePoint, TrainReport, TrainSettings
from vlmtool_core.training.version_folder import read_card, training_lock

sys.path.insert(0, str(Path(__file__).parent))
from colour_engine import FINGERPRINT, PACK, ColourEngine, draw

Train = Callable[..., TrainReport]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """60 pictures of three colours, each labelled with its colour."""
    names = draw(tmp_path / "in", {"red": 20, "green": 20, "blue": 20})
    with Project.create(tmp_path / "p") as opened:
        opened.add([tmp_path / "in"])
        label_by_name(opened)
        assert opened.count() == len(names)
        yield opened


@pytest.fixture
def train(project: Project) -> Train:
    """Trains with the colour engine."""

    def call(settings: TrainSettings | None = None, **more: Any) -> TrainReport:
        return project.train(settings, engine=ColourEngine(), **more)  # type: ignore[arg-type]

    return call


def label_by_name(project: Project) -> None:
    by_label: dict[str, list[int]] = {}
    for item in project.items():
        if not item.labels:
            by_label.setdefault(Path(item.name).name.split("-")[0], []).append(item.id)
    for label, ids in by_label.items():
        project.set_label(ids, label)


def item_id(project: Project, name: str) -> int:
    return next(item.id for item in project.items() if item.name.endswith(name))


def spoil_training_labels(project: Project) -> None:
    """Turn the labels of the training side round; the hold-out stays right."""
    turned = {"red": "green", "green": "blue", "blue": "red"}
    sides = project.store.learning.split()
    for item in project.items():
        if sides[item.id] == "train":
            project.set_label([item.id], turned[item.labels[0]])


def test_a_training_leaves_a_whole_version(project: Project, train: Train) -> None:
    points: list[CurvePoint] = []
    report = train(on_curve=points.append)
    assert report.activated
    assert report.old is not None
    assert report.comparison is not None
    assert report.old.model == PACK
    assert report.old.count == report.new.count == 12
    assert report.new.accuracy.value > report.old.accuracy.value
    assert report.train_count == 48
    assert report.cross_validated is not None
    assert tuple(points) == report.curve
    version = project.active_version()
    assert version == report.version
    assert (version.label, version.pack, version.pack_fingerprint) == ("v1", PACK, FINGERPRINT)
    assert version.path == project.root / "models" / "v0001"
    card = read_card(version.path)
    head = ProbeHead.load(version.path)
    assert card["head_fingerprint"] == head.fingerprint
    assert head.labels == ("red", "green", "blue") or set(head.labels) == {"red", "green", "blue"}
    assert len(card["snapshot"]["rows"]) == 60
    assert card["settings"] == TrainSettings().to_json()
    assert card["metrics"]["accuracy"] == report.new.accuracy.value == version.metrics["accuracy"]


def test_the_store_knows_what_the_version_rests_on(project: Project, train: Train) -> None:
    report = train()
    learning = project.store.learning
    stored = learning.version(1)
    assert stored.snapshot_id is not None
    entries = learning.snapshot(stored.snapshot_id).entries
    truth = {a.id: (a.item_id, a.label) for a in project.annotations()}
    assert {e["annotation_id"]: (e["item_id"], e["label"]) for e in entries} == truth
    sha = {item.id: item.sha256 for item in project.items()}
    assert all(sha[e["item_id"]] == e["sha256"] for e in entries)
    assert {e["item_id"]: e["side"] for e in entries} == learning.split()
    metrics = {(m.model, m.name): m.value for m in learning.metrics() if not m.label}
    assert metrics["v1", "accuracy"] == report.new.accuracy.value
    assert report.old is not None
    assert metrics[PACK, "accuracy"] == report.old.accuracy.value
    (run,) = learning.training_runs()
    assert (run.status, run.id, run.seed) == ("finished", stored.training_run_id, 0)
    assert len(run.data["curve"]) == len(report.curve)
    assert project.store.audit.verify().broken_at is None


def test_the_holdout_stays_and_never_teaches(
    project: Project, train: Train, tmp_path: Path
) -> None:
    train()
    before = project.store.learning.split()
    draw(tmp_path / "in" / "more", {"red": 10, "green": 10, "blue": 10}, seed=9)
    project.add([tmp_path / "in"])
    label_by_name(project)
    report = train(TrainSettings(seed=5))
    after = project.store.learning.split()
    assert {i: side for i, side in after.items() if i in before} == before
    assert len(after) == 90
    rows = read_card(report.version.path)["snapshot"]["rows"]
    assert {r["item_id"] for r in rows if r["side"] == "holdout"} == {
        i for i, side in after.items() if side == "holdout"
    }
    assert report.old is not None
    assert report.old.model == "v1"
    assert report.old.count == report.new.count == 18


def test_the_same_labels_and_seed_give_the_same_version(project: Project, train: Train) -> None:
    first, second = train(), train()
    heads = [ProbeHead.load(report.version.path) for report in (first, second)]
    assert heads[0].fingerprint == heads[1].fingerprint
    assert first.new.accuracy == second.new.accuracy


def test_features_are_computed_once(project: Project) -> None:
    engine = ColourEngine()
    for _ in range(2):
        project.train(engine=engine)  # type: ignore[arg-type]
    assert engine.embedded == 60


def test_a_worse_version_is_kept_but_not_used(project: Project, train: Train) -> None:
    train()
    spoil_training_labels(project)
    report = train()
    assert not report.activated
    assert "is worse than v1" in report.reason
    assert [v.active for v in project.versions()] == [True, False]
    with pytest.raises(GateRefusedError, match="worse than v1"):
        project.use_version(2)
    assert project.active_version() == project.versions()[0]
    assert project.use_version(2, force=True).active
    assert [a.action for a in history(project)] == ["activate", "force"]


def test_a_loss_within_the_margin_passes(project: Project, train: Train) -> None:
    train()
    blue = [i.id for i in project.items() if i.labels == ("blue",)]
    sides = project.store.learning.split()
    project.set_label([i for i in blue if sides[i] == "train"][:14], "green")
    report = train(TrainSettings(margin=0.6))
    assert report.comparison is not None
    assert -0.6 < report.comparison.difference.value < 0
    assert report.activated


def test_rolling_back_goes_back_step_by_step(project: Project, train: Train) -> None:
    for _ in range(3):
        assert train().activated
    back = [project.rollback(), project.rollback(), project.rollback()]
    assert [v and v.label for v in back] == ["v2", "v1", None]
    assert project.active_version() is None
    with pytest.raises(RecordNotFoundError, match="no earlier version"):
        project.rollback()
    assert [a.version for a in history(project)] == [1, 2, 3, 2, 1, None]
    report = train()
    assert report.version.label == "v4"
    assert report.old is not None
    assert report.old.model == PACK


def test_rollback_survives_a_kill_between_its_two_writes(project: Project, train: Train) -> None:
    train()
    train()
    project.store.learning.set_active(1)
    assert project.use_version(2).label == "v2"
    back = project.rollback()
    assert back is not None
    assert back.label == "v1"


def test_one_label_is_not_enough(project: Project, train: Train) -> None:
    project.set_label(project.item_ids(), "red")
    with pytest.raises(NotEnoughLabelsError, match="only the label 'red'"):
        train()
    assert project.versions() == []
    assert project.store.learning.split() == {}


def test_no_label_is_not_enough(project: Project, train: Train) -> None:
    project.set_label(project.item_ids(), None)
    with pytest.raises(NotEnoughLabelsError, match="no label"):
        train()


def test_the_same_picture_everywhere_is_not_enough(tmp_path: Path) -> None:
    (name,) = draw(tmp_path / "in", {"red": 1})
    for number in range(20):
        shutil.copy(tmp_path / "in" / name, tmp_path / "in" / f"copy-{number}.png")
    with Project.create(tmp_path / "p") as project:
        project.add([tmp_path / "in"])
        ids = project.item_ids()
        project.set_label(ids[:10], "a")
        project.set_label(ids[10:], "b")
        with pytest.raises(NotEnoughLabelsError, match="different groups and content"):
            project.train(engine=ColourEngine())  # type: ignore[arg-type]


def test_copies_of_a_picture_stay_on_one_side(
    project: Project, train: Train, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(tmp_path / "in", copies)
    project.add([copies])
    label_by_name(project)
    train()
    sides = project.store.learning.split()
    by_content: dict[str, set[str]] = {}
    for item in project.items():
        by_content.setdefault(item.sha256, set()).add(sides[item.id])
    assert len(sides) == 120
    assert all(len(found) == 1 for found in by_content.values())


def test_groups_stay_on_one_side(project: Project, train: Train) -> None:
    ids = project.item_ids()
    project.store.items.set_groups({i: f"patient {n % 7}" for n, i in enumerate(ids)})
    report = train()
    sides = project.store.learning.split()
    groups: dict[str, set[str]] = {}
    for item in project.items():
        groups.setdefault(item.group, set()).add(sides[item.id])
    assert len(groups) == 7
    assert all(len(found) == 1 for found in groups.values())
    assert report.new.groups < 7


def test_a_copy_found_later_across_the_sides_is_left_out(project: Project, train: Train) -> None:
    train()
    sides = project.store.learning.split()
    held = next(i for i, side in sides.items() if side == "holdout")
    taught = next(i for i, side in sides.items() if side == "train")
    project.store.items.set_groups({held: "one patient", taught: "one patient"})
    report = train()
    assert any("in the hold-out" in warning for warning in report.warnings)
    assert report.train_count == 47
    assert project.store.learning.split() == sides


def test_contradictions_and_rare_labels_are_told(
    project: Project, train: Train, tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "in" / "red-0.png", tmp_path / "in" / "twin.png")
    draw(tmp_path / "in" / "new", {"red": 2}, seed=4)
    project.add([tmp_path / "in"])
    project.set_label([item_id(project, "twin.png")], "blue")
    new = [i.id for i in project.items() if "new/" in i.name]
    project.set_label(new, "rare")
    warnings = " | ".join(train().warnings)
    assert "twin.png" in warnings
    assert "fewer than 5 items carry the label rare" in warnings


def test_a_picture_that_is_gone_is_left_out_and_named(
    project: Project, train: Train, tmp_path: Path
) -> None:
    (tmp_path / "in" / "red-3.png").unlink()
    report = train()
    assert any("red-3.png" in warning for warning in report.warnings)
    assert report.train_count + report.new.count == 59


def test_labels_of_single_frames_do_not_count(project: Project, train: Train) -> None:
    project.set_label([item_id(project, "red-0.png")], None)
    project.set_label([item_id(project, "red-0.png")], "green", frame=3)
    report = train()
    assert report.train_count + report.new.count == 59
    assert any("single frames" in warning for warning in report.warnings)


def test_several_labels_for_a_picture_are_refused(project: Project, train: Train) -> None:
    project.set_label_set(replace(project.label_set(), exclusive=False))
    with pytest.raises(UsageError, match="several labels"):
        train()


def test_cancelling_leaves_no_version(project: Project, train: Train) -> None:
    train()
    cancel = CancelToken()
    with pytest.raises(CancelledError):
        train(on_curve=lambda _: cancel.cancel(), cancel=cancel)
    assert [v.number for v in project.versions()] == [1]
    assert [r.status for r in project.store.learning.training_runs()] == ["finished", "cancelled"]
    assert sorted(p.name for p in (project.root / "models").glob("v*")) == ["v0001"]


def test_two_trainings_at_a_time_are_refused(project: Project, train: Train) -> None:
    with training_lock(project.root / "models"), pytest.raises(ProjectBusyError, match="another"):
        train()
    assert train().activated


def test_a_full_disk_leaves_no_half_version(
    project: Project, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    train()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("vlmtool_core.training.version_folder.os.fsync", full)
        with pytest.raises(StorageError, match="No space"):
            train()
    assert [v.number for v in project.versions()] == [1]
    assert {p.name for p in (project.root / "models").iterdir()} <= {"v0001", ".training.lock"}
    assert train().version.number == 2


def test_a_folder_that_cannot_be_made_is_a_storage_error(project: Project, train: Train) -> None:
    (project.root / "models").write_text("in the way")
    with pytest.raises(StorageError):
        train()


def test_what_a_killed_training_left_is_cleared(project: Project, train: Train) -> None:
    train()
    models = project.root / "models"
    shutil.copytree(models / "v0001", models / "v0002")
    (models / ".v0003.partial").mkdir()
    project.store.learning.start_training(Task.CLASSIFY, "probe", 0, {})
    report = train()
    assert report.version.number == 2
    assert sorted(p.name for p in models.glob("*v*") if p.is_dir()) == ["v0001", "v0002"]
    (aside,) = (models / "unclaimed").iterdir()
    assert ProbeHead.load(aside).labels
    states = [run.status for run in project.store.learning.training_runs()]
    assert states == ["finished", "failed", "finished"]


def test_a_damaged_head_is_never_used(project: Project, train: Train) -> None:
    train()
    train()
    weights = project.versions()[0].path / "head.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(PackIntegrityError):
        project.use_version(1)
    with pytest.raises(PackIntegrityError):
        project.evaluate(["v1"], engine=ColourEngine())  # type: ignore[arg-type]
    assert project.active_version() == project.versions()[1]


def test_a_damaged_active_head_does_not_stop_the_next_training(
    project: Project, train: Train
) -> None:
    (train().version.path / "head.json").unlink()
    report = train()
    assert report.old is None
    assert any("not compared with the model in use" in w for w in report.warnings)
    assert report.activated
    assert "no other model to compare" in report.reason


def test_a_head_is_never_run_on_another_pack(project: Project, train: Train) -> None:
    train()
    newer: Any = ColourEngine()
    newer.store = SimpleNamespace(pack=lambda _id: SimpleNamespace(fingerprint="d" * 64))
    with pytest.raises(UsageError, match="another colours than the one that is installed"):
        project.evaluate(["v1"], engine=newer)
    report = project.train(engine=newer)
    assert report.old is None
    assert report.version.pack_fingerprint == "d" * 64


def test_a_holdout_that_is_gone_is_said(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(NotEnoughLabelsError, match="predicted by colours") as caught:
        project.evaluate([PACK], engine=ColourEngine())  # type: ignore[arg-type]
    assert "where they were" in caught.value.remedy


def test_models_are_compared_on_the_same_holdout(project: Project, train: Train) -> None:
    train()
    engine: Any = ColourEngine()
    report = project.evaluate([PACK, "v1", "active"], engine=engine)
    assert [e.model for e in report.evaluations] == [PACK, "v1", "v1"]
    assert {e.count for e in report.evaluations} == {12}
    assert len(report.comparisons) == 2
    first = report.comparisons[0]
    gained = report.evaluations[1].accuracy.value - report.evaluations[0].accuracy.value
    assert first.difference.value == pytest.approx(gained)
    assert first.only_b - first.only_a == round(12 * gained)
    assert np.array(report.evaluations[1].confusion).sum() == 12


def test_a_version_that_lacks_a_label_is_wrong_on_it(
    project: Project, train: Train, tmp_path: Path
) -> None:
    train()
    ids = [i.id for i in project.items() if i.name.endswith("5.png")]
    draw(tmp_path / "in" / "new", {"green": 6}, seed=4)
    project.add([tmp_path / "in"])
    project.set_label([i.id for i in project.items() if "new/" in i.name], "emerald")
    report = train()
    assert ids
    assert report.old is not None
    old = {row.label: row for row in report.old.per_class}
    assert old["emerald"].support == 1
    assert old["emerald"].recall == 0


def test_unknown_models_are_named(project: Project, train: Train) -> None:
    with pytest.raises(RecordNotFoundError, match="v7"):
        project.evaluate(["v7"], engine=ColourEngine())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one"):
        project.evaluate([], engine=ColourEngine())  # type: ignore[arg-type]
    with pytest.raises(RecordNotFoundError, match="v7"):
        project.use_version(7)


def test_evaluating_before_training_fixes_the_holdout(project: Project, train: Train) -> None:
    before = project.evaluate(["active"], engine=ColourEngine())  # type: ignore[arg-type]
    sides = project.store.learning.split()
    report = train()
    assert report.old == before.evaluations[0]
    assert project.store.learning.split() == sides


def test_names_of_models_resolve(project: Project, train: Train) -> None:
    assert resolve_model(project, None) == (None, None, None)
    assert resolve_model(project, "active") == (None, None, None)
    assert resolve_model(project, "starter-vision") == ("starter-vision", None, None)
    version = train().version
    assert resolve_model(project, "active") == (PACK, version.path, "v1")
    assert resolve_model(project, "V1") == (PACK, version.path, "v1")
    with pytest.raises(RecordNotFoundError):
        resolve_model(project, "v2")
