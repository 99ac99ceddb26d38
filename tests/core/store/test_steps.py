"""Undo and redo: exact, without limit, across restarts, bulk steps as one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmtool_core.errors import RecordNotFoundError, UsageError
from vlmtool_core.project import Project
from vlmtool_core.records import (
    Box,
    Finding,
    FindingStatus,
    LabelSet,
    MediaKind,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
)
from vlmtool_core.store.records import NewItem, NewPrediction

LABELS = ("cat", "dog", "中文", "")


def fresh_project(root: Path, *, exclusive: bool, database: str | None = None) -> Project:
    project = Project.create(root, author="tester", database=database)
    project.set_label_set(LabelSet("s", (), exclusive=exclusive))
    ids = project.store.items.add_many(
        [NewItem(f"{i}.png", root / f"{i}.png", MediaKind.IMAGE, f"{i:064x}") for i in range(4)]
    )
    model = ModelIdentity("m", "1")
    classify = project.store.runs.start(Task.CLASSIFY, model, {}, "a")
    scores = (Score("cat", 0.7), Score("dog", 0.3))
    ok = Outcome(OutcomeStatus.OK, scores=scores)
    project.store.runs.add(classify, [NewPrediction(i, 0, ok) for i in ids])
    detect = project.store.runs.start(Task.DETECT, model, {}, "b")
    boxes = Outcome(OutcomeStatus.OK, boxes=(Box(0, 0, 2, 2, "cat", 0.5), Box(1, 1, 3, 3, "")))
    project.store.runs.add(detect, [NewPrediction(i, 0, boxes) for i in ids])
    caption = project.store.runs.start(Task.CAPTION, model, {}, "c")
    project.store.runs.add(
        caption, [NewPrediction(i, 0, Outcome(OutcomeStatus.OK, text="a cat")) for i in ids]
    )
    project.add_findings("w.x", "1", [Finding("span", "t", "/v", label="a") for _ in range(3)])
    return project


def state(project: Project) -> object:
    """Everything that steps may change."""
    decisions = [
        (p.id, p.decision)
        for item_id in project.item_ids()
        for p in project.predictions(item_id, newest_only=False)
    ]
    findings = [(f.id, f.status, f.label, f.note, f.decided_at) for f in project.findings()]
    return project.annotations(), decisions, findings


items = st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True)
commands = st.one_of(
    st.tuples(st.just("label"), items, st.sampled_from([*LABELS[:3], None]), st.integers(0, 1)),
    st.tuples(st.just("box"), st.integers(1, 4), st.sampled_from(LABELS), st.integers(0, 50)),
    st.tuples(st.just("text"), st.integers(1, 4), st.text("ab 中😀", min_size=1, max_size=5)),
    st.tuples(st.just("change"), st.integers(0, 9), st.sampled_from(LABELS), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.lists(st.integers(0, 9), min_size=1, max_size=3)),
    st.tuples(
        st.just("decide"),
        st.lists(st.integers(1, 12), min_size=1, max_size=5),
        st.sampled_from(list(FindingStatus)),
        st.sampled_from([None, "bird"]),
    ),
    st.tuples(
        st.just("findings"),
        st.lists(st.integers(1, 3), min_size=1, max_size=3),
        st.sampled_from(list(FindingStatus)),
    ),
)


def perform(project: Project, command: tuple) -> None:
    name, *values = command
    if name == "label":
        project.set_label(values[0], values[1], frame=values[2])
    elif name == "box":
        corner = values[2] / 7
        project.add_box(values[0], 0, Box(corner, 0, corner + 1 / 3, 5, values[1]))
    elif name == "text":
        project.add_text(values[0], 0, values[1])
    elif name == "change":
        boxes = [a for a in project.annotations() if a.kind == "box"]
        if boxes:
            chosen = boxes[values[0] % len(boxes)]
            moved = Box(values[2], 0, values[2] + 1, 1, "")
            project.update_annotation(chosen.id, label=values[1], box=moved)
    elif name == "delete":
        known = [a.id for a in project.annotations()]
        ids = [known[i] for i in values[0] if i < len(known)]
        project.delete_annotations(ids)
    elif name == "decide":
        project.decide_predictions(values[0], values[1], label=values[2])
    else:
        project.decide_findings(values[0], values[1], note="n")


# The fixture only says where the projects are made: each example makes its own.
EXAMPLES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.mark.slow
@settings(max_examples=25, **EXAMPLES)
@given(st.lists(commands, max_size=12), st.booleans(), st.data())
def test_undo_all_is_the_start_and_redo_all_is_the_end(places, sequence, exclusive, data) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "p"
        project = fresh_project(root, exclusive=exclusive, database=places.new_url())
        states = [state(project)]
        for command in sequence:
            steps = len(project.history(1000))
            perform(project, command)
            if len(project.history(1000)) > steps:
                states.append(state(project))
            else:
                assert state(project) == states[-1]  # nothing changed, so there is no step
        for expected in reversed(states[:-1]):
            if data.draw(st.booleans(), label="reopen"):
                project.close()
                project = Project.open(root)
            assert project.undo() is not None
            assert state(project) == expected
        assert not project.can_undo()
        assert project.undo() is None
        assert all(entry.undone for entry in project.history(1000))
        project.close()
        project = Project.open(root)
        for expected in states[1:]:
            assert project.redo() is not None
            assert state(project) == expected
        assert not project.can_redo()
        assert project.redo() is None
        assert not any(entry.undone for entry in project.history(1000))
        project.close()


@settings(max_examples=15, **EXAMPLES)
@given(st.lists(st.sampled_from(["do", "do", "undo", "undo", "redo"]), max_size=25))
def test_undo_and_redo_behave_like_two_stacks(places, moves) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "p"
        project = fresh_project(root, exclusive=True, database=places.new_url())
        done: list[str] = []
        undone: list[str] = []
        for number, move in enumerate(moves):
            if move == "do":
                project.add_text(1, 0, f"text {number}")
                done.append(f"text {number}")
                undone.clear()
            elif move == "undo":
                assert (project.undo() is not None) == bool(done)
                undone += done[-1:]
                del done[-1:]
            else:
                assert (project.redo() is not None) == bool(undone)
                done += undone[-1:]
                del undone[-1:]
            assert [a.text for a in project.annotations(1)] == done
            assert (project.can_undo(), project.can_redo()) == (bool(done), bool(undone))
            history = project.history(1000)
            assert len([entry for entry in history if not entry.undone]) == len(done)
        project.close()


@pytest.fixture
def project(tmp_path: Path, places):
    with fresh_project(tmp_path / "p", exclusive=True, database=places.new_url()) as made:
        yield made


def test_a_bulk_step_is_undone_as_one(project: Project) -> None:
    ids = project.item_ids()
    project.set_label(ids[:2], "dog")
    assert project.set_label(ids, "cat") == 4
    assert project.undo() == "label 4 items: cat"
    assert [item.labels for item in project.items()] == [("dog",), ("dog",), (), ()]


def test_a_new_step_after_undo_drops_redo_but_not_the_log(project: Project) -> None:
    project.set_label([1], "cat")
    project.set_label([1], "dog")
    project.undo()
    project.set_label([1], "bird")
    assert project.redo() is None
    assert [(h.description, h.undone) for h in project.history()] == [
        ("label 1 item: bird", False),
        ("label 1 item: dog", True),
        ("label 1 item: cat", False),
    ]
    assert [h.step for h in project.history(limit=1)] == [project.history()[0].step]


def test_a_step_that_changes_nothing_leaves_redo_alone(project: Project) -> None:
    project.set_label([1], "cat")
    project.add_text(1, 0, "x")
    project.undo()
    assert project.set_label([1], "cat") == 0
    assert project.can_redo()


def test_who_decided_is_recorded(tmp_path: Path, places) -> None:
    fresh_project(tmp_path / "p", exclusive=True, database=places.new_url()).close()
    with Project.open(tmp_path / "p", author="Ada") as project:
        project.set_label([1], "cat")
    with Project.open(tmp_path / "p", author="Bob") as project:
        project.add_text(1, 0, "x")
        assert [a.author for a in project.annotations(1)] == ["Ada", "Bob"]
        assert [h.author for h in project.history()] == ["Bob", "Ada"]


def test_exclusive_labels_replace_and_others_add(project: Project) -> None:
    project.set_label([1], "cat")
    project.set_label([1], "dog")
    assert project.item(1).labels == ("dog",)
    project.set_label_set(LabelSet("s", project.label_set().labels, exclusive=False))
    project.set_label([1], "cat")
    assert set(project.item(1).labels) == {"cat", "dog"}
    assert project.set_label([1], None) == 1
    assert project.item(1).labels == ()


def test_labels_of_different_frames_do_not_touch_each_other(project: Project) -> None:
    project.set_label([1], "cat", frame=0)
    project.set_label([1], "dog", frame=7)
    assert {(a.frame, a.label) for a in project.annotations(1)} == {(0, "cat"), (7, "dog")}
    project.set_label([1], None, frame=0)
    assert [a.frame for a in project.annotations(1)] == [7]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: p.set_label([1, 999], "cat"),
        lambda p: p.add_box(999, 0, Box(0, 0, 1, 1, "a")),
        lambda p: p.update_annotation(999, label="a"),
        lambda p: p.delete_annotations([999]),
        lambda p: p.decide_predictions([999], FindingStatus.ACCEPTED),
        lambda p: p.decide_findings([1, 999], FindingStatus.ACCEPTED),
    ],
)
def test_what_is_not_there_is_an_error_and_no_half_step(project: Project, wrong) -> None:
    before = state(project)
    with pytest.raises(RecordNotFoundError, match="999"):
        wrong(project)
    assert state(project) == before
    assert project.history() == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: p.set_label([1], "  "),
        lambda p: p.set_label([1], " cat"),
        lambda p: p.add_box(1, 0, Box(0, 0, float("inf"), 1, "a")),
        lambda p: p.add_box(1, -1, Box(0, 0, 1, 1, "a")),
        lambda p: p.add_text(1, 0, ""),
    ],
)
def test_impossible_annotations_are_refused(project: Project, wrong) -> None:
    before = state(project)
    with pytest.raises(UsageError):
        wrong(project)
    assert state(project) == before


def test_accepting_makes_annotations_and_a_second_decision_replaces_them(
    project: Project,
) -> None:
    by_task = {p.task: p.id for p in project.predictions(1)}
    project.decide_predictions(list(by_task.values()), FindingStatus.ACCEPTED)
    found = {(a.kind, a.label, a.text) for a in project.annotations(1)}
    assert found == {
        ("label", "cat", None),
        ("box", "cat", None),
        ("box", "", None),
        ("text", "", "a cat"),
    }
    assert {p.decision for p in project.predictions(1)} == {FindingStatus.ACCEPTED}
    only = [Box(5, 5, 6, 6, "dog")]
    project.decide_predictions([by_task[Task.DETECT]], FindingStatus.EDITED, boxes=only)
    assert [a.box for a in project.annotations(1) if a.kind == "box"] == only
    project.decide_predictions([by_task[Task.CLASSIFY]], FindingStatus.REJECTED)
    assert project.item(1).labels == ()
    assert project.undo() == "reject 1 prediction"
    assert project.item(1).labels == ("cat",)


def test_a_failed_prediction_cannot_be_accepted_but_corrected(project: Project) -> None:
    run = project.store.runs.start(Task.CLASSIFY, ModelIdentity("m", "2"), {}, "z")
    project.store.runs.add(run, [NewPrediction(1, 0, Outcome.failed(ValueError("x")))])
    (failed,) = project.predictions(1, task=Task.CLASSIFY)
    with pytest.raises(UsageError, match="nothing to accept"):
        project.decide_predictions([failed.id], FindingStatus.ACCEPTED)
    assert project.annotations(1) == []
    project.decide_predictions([failed.id], FindingStatus.EDITED, label="dog")
    assert project.item(1).labels == ("dog",)


def test_a_label_that_left_the_set_stays_on_its_items(project: Project) -> None:
    project.set_label([1], "cat")
    project.set_label_set(LabelSet("other", ()))
    assert project.label_set().labels == ()
    assert project.item(1).labels == ("cat",)
