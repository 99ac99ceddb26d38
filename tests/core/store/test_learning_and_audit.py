"""What learning keeps, findings, and the audit chain."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from vlmtool_core.errors import RecordNotFoundError, TrainingError, UsageError
from vlmtool_core.records import Box, ErrorInfo, Finding, FindingStatus, Label, LabelSet, Task
from vlmtool_core.store.records import MetricRecord, NewVersion
from vlmtool_core.store.repository import Store


def test_a_split_is_fixed_once_made(store: Store, add_items) -> None:
    a, b, c = add_items(3)
    store.learning.add_to_split({a: "train", b: "holdout"})
    store.learning.add_to_split({a: "train", c: "train"})
    with pytest.raises(TrainingError, match="holdout"):
        store.learning.add_to_split({c: "train", b: "train"})
    assert store.learning.split() == {a: "train", b: "holdout", c: "train"}


def test_the_same_data_are_the_same_snapshot(store: Store) -> None:
    entries = [{"item": 1, "label": "cat"}, {"item": 2, "label": "中文"}]
    first = store.learning.add_snapshot(Task.CLASSIFY, entries)
    assert store.learning.add_snapshot(Task.CLASSIFY, entries) == first
    assert store.learning.add_snapshot(Task.CLASSIFY, entries[:1]) != first
    assert store.learning.add_snapshot(Task.DETECT, entries) != first
    assert list(store.learning.snapshot(first).entries) == entries
    with pytest.raises(RecordNotFoundError):
        store.learning.snapshot(99)


def test_versions_are_numbered_and_one_is_active_for_each_task(store: Store) -> None:
    learning = store.learning

    def version(task: Task) -> NewVersion:
        return NewVersion("t", task, "pack", "f", "probe", "models/v", data={"a": [1.5]})

    numbers = [learning.add_version(version(t)) for t in (Task.CLASSIFY, Task.DETECT)]
    assert numbers == [1, 2]
    assert learning.active_version() is None
    learning.set_active(1)
    learning.set_active(2, Task.DETECT)
    assert [v.active for v in learning.versions()] == [True, True]
    with pytest.raises(RecordNotFoundError, match="v2"):
        learning.set_active(2)
    learning.set_active(None)
    assert learning.active_version() is None
    assert learning.version(1).data == {"a": [1.5]}
    with pytest.raises(RecordNotFoundError, match="v9"):
        learning.version(9)


def test_trainings_and_metrics_are_kept(store: Store) -> None:
    run = store.learning.start_training(Task.CLASSIFY, "probe", 7, {"c": 1})
    failed = store.learning.start_training(Task.CLASSIFY, "probe", 8, {})
    store.learning.finish_training(run, data={"curve": [0.5, 0.7]})
    error = ErrorInfo("training", "too few", "label more")
    store.learning.finish_training(failed, "failed", error=error)
    found = store.learning.training_runs()
    assert [(t.status, t.seed, t.error) for t in found] == [
        ("finished", 7, None),
        ("failed", 8, error),
    ]
    metrics = [
        MetricRecord("v1", "accuracy", 0.8, 0.7, 0.9, training_run_id=run),
        MetricRecord("v1", "recall", 0.5, label="cat", training_run_id=run),
        MetricRecord("pack", "accuracy", 0.4),
    ]
    store.learning.add_metrics(metrics)
    assert store.learning.metrics() == metrics
    assert store.learning.metrics(model="pack") == metrics[2:]
    assert store.learning.metrics(training_run_id=run) == metrics[:2]


def test_findings_keep_everything_and_find_their_item(store: Store, add_items) -> None:
    (item,) = add_items("a.png")
    full = Finding(
        "span",
        "movement",
        "/media/a.png",
        score=0.5,
        label="person",
        frame=3,
        time_span_s=(1.25, 2.5),
        box=Box(0.1, 0.2, 3, 4, "person", 0.9),
        model="m 1",
        data={"answer": ["B", None], "n": 1.5},
    )
    first, second = store.findings.add("security.triage", "0.1", [full, Finding("k", "t", "/no")])
    found = store.findings.find()[0]
    assert found == Finding(
        **{**{f: getattr(full, f) for f in full.__slots__}, "id": first, "item_id": item}
    )
    assert store.findings.decide([first, second], FindingStatus.EDITED, label="dog", note="n") == 2
    found = store.findings.find(status=FindingStatus.EDITED)[0]
    assert (found.label, found.note, found.status) == ("dog", "n", FindingStatus.EDITED)
    assert found.decided_at is not None
    assert store.findings.count(status=FindingStatus.PENDING) == 0
    assert store.steps.undo() == "edit 2 findings"
    assert store.findings.find()[0].label == "person"
    assert store.findings.count(status=FindingStatus.PENDING, workflow="security.triage") == 2
    assert store.findings.count(workflow="other") == 0
    assert len(store.findings.find(offset=1, limit=1)) == 1
    with pytest.raises(UsageError, match="no number"):
        store.findings.add("w", "1", [Finding("k", "t", "/p", score=float("nan"))])


def test_a_label_set_comes_back_as_it_was(store: Store) -> None:
    labels = (
        Label("cat", ("a cat", "猫"), "A cat.", "#ff0000", "1"),
        Label("dog"),
        Label("a, b", ("x",)),
    )
    label_set = LabelSet("pets", labels, exclusive=False, domain="general")
    store.labels.replace(label_set)
    assert store.labels.get() == label_set
    store.labels.ensure(["bird", "cat"])
    assert [label.name for label in store.labels.get().labels] == ["cat", "dog", "a, b", "bird"]
    store.labels.replace(LabelSet("pets", labels[::-1]))
    assert store.labels.get().labels == labels[::-1]
    with pytest.raises(UsageError, match="twice"):
        store.labels.replace(LabelSet("x", (Label("a"), Label("a"))))
    assert store.labels.get().labels == labels[::-1]


def rewrite(places: Any, store: Store, statement: str) -> Store:
    """Somebody with a database tool lifts the protection and rewrites history."""
    lift = {
        "sqlite": ["DROP TRIGGER audit_event_no_update", "DROP TRIGGER audit_event_no_delete"],
        "postgresql": ["ALTER TABLE audit_event DISABLE TRIGGER ALL"],
    }
    with store.database.writing() as connection:
        for sql in [*lift[places.kind], statement]:
            connection.execute(text(sql))
    store.close()
    return places.open()


def test_the_audit_chain_shows_where_it_was_changed(places: Any, store: Store) -> None:
    for number in range(5):
        store.audit.append("kind", {"number": number, "text": "中文"})
    check = store.audit.verify()
    assert (check.entries, check.broken_at) == (5, None)
    assert [entry.data["number"] for entry in store.audit.entries()] == [0, 1, 2, 3, 4]
    again = rewrite(places, store, "UPDATE audit_event SET data = '{}' WHERE id = 3")
    assert again.audit.verify().broken_at == 3
    again.close()


def test_a_removed_audit_entry_breaks_the_chain(places: Any, store: Store) -> None:
    for number in range(3):
        store.audit.append("kind", {"number": number})
    again = rewrite(places, store, "DELETE FROM audit_event WHERE id = 2")
    assert again.audit.verify().broken_at == 3
    again.close()
