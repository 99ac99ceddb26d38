"""Splits: groups stay whole, every label is on both sides, nothing moves once it is fixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_core.errors import NotEnoughLabelsError
from vlmtool_core.training.splits import HOLDOUT, TRAIN, Sample, group_folds, split_by_group


@st.composite
def labelled_items(draw: st.DrawFn) -> list[Sample]:
    """Two to five labels, each with groups of its own, and some groups with several labels."""
    classes = draw(st.integers(2, 5))
    samples: list[Sample] = []
    for label in range(classes):
        for group in range(draw(st.integers(2, 8))):
            for _ in range(draw(st.integers(1, 5))):
                samples.append(Sample(len(samples), f"c{label}", f"g{label}-{group}"))
    for mixed in range(draw(st.integers(0, 5))):
        for label in draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=6)):
            samples.append(Sample(len(samples), f"c{label}", f"mixed-{mixed}"))
    return samples


def groups_of(samples: list[Sample], keys: tuple[int, ...]) -> set[str]:
    return {s.group for s in samples if s.key in set(keys)}


def labels_of(samples: list[Sample], keys: tuple[int, ...]) -> set[str]:
    return {s.label for s in samples if s.key in set(keys)}


@given(labelled_items(), st.integers(0, 99), st.sampled_from([0.1, 0.2, 0.5]))
@settings(max_examples=200, deadline=None)
def test_no_group_is_divided_and_every_label_is_on_both_sides(
    samples: list[Sample], seed: int, fraction: float
) -> None:
    split = split_by_group(samples, fraction=fraction, seed=seed)
    assert sorted(split.train + split.holdout) == [s.key for s in samples]
    assert not groups_of(samples, split.train) & groups_of(samples, split.holdout)
    every = {s.label for s in samples}
    assert labels_of(samples, split.train) == labels_of(samples, split.holdout) == every


@given(labelled_items(), labelled_items(), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_new_items_never_move_old_ones(old: list[Sample], new: list[Sample], seed: int) -> None:
    before = split_by_group(old, seed=seed)
    moved_on = [Sample(s.key + 10_000, s.label, f"new-{s.group}") for s in new]
    same_groups = [Sample(s.key + 20_000, s.label, s.group) for s in old[::3]]
    after = split_by_group([*old, *moved_on, *same_groups], fixed=before.sides(), seed=seed + 1)
    sides = after.sides()
    assert {key: sides[key] for key in before.sides()} == before.sides()
    assert not groups_of([*old, *same_groups], after.train) & groups_of(old, after.holdout)
    assert after.excluded == ()


@given(labelled_items(), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_items_does_not_matter(samples: list[Sample], random: object) -> None:
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_by_group(shuffled).sides() == split_by_group(samples).sides()


def test_the_seed_chooses_the_holdout() -> None:
    samples = [Sample(i, "ab"[i % 2], str(i)) for i in range(100)]
    assert split_by_group(samples, seed=1) == split_by_group(samples, seed=1)
    assert split_by_group(samples, seed=1) != split_by_group(samples, seed=2)


def test_shares_are_near_the_fraction_for_each_label() -> None:
    samples = [Sample(i, "a" if i % 10 else "rare", str(i)) for i in range(1000)]
    split = split_by_group(samples, fraction=0.2)
    rare = [k for k in split.holdout if k % 10 == 0]
    assert len(rare) == 20
    assert len(split.holdout) == 200


def test_two_items_per_label_are_enough() -> None:
    samples = [Sample(i, "ab"[i % 2], str(i)) for i in range(4)]
    split = split_by_group(samples)
    assert len(split.train) == len(split.holdout) == 2


def test_a_group_that_was_joined_across_the_sides_leaves_the_training() -> None:
    samples = [Sample(i, "ab"[i % 2], str(i)) for i in range(12)]
    split = split_by_group(samples)
    taught, proved = split.train[0], split.holdout[0]
    joined = [
        Sample(s.key, s.label, "patient" if s.key in {taught, proved} else s.group) for s in samples
    ]
    again = split_by_group(joined, fixed=split.sides())
    assert again.excluded == (taught,)
    assert proved in again.holdout
    assert taught not in again.train
    assert again.sides() == split.sides()


def test_one_label_is_refused() -> None:
    with pytest.raises(NotEnoughLabelsError, match="only the label 'a'"):
        split_by_group([Sample(i, "a", str(i)) for i in range(9)])


def test_no_label_is_refused() -> None:
    with pytest.raises(NotEnoughLabelsError, match="no label"):
        split_by_group([])


def test_a_label_in_a_single_group_is_refused_by_name() -> None:
    samples = [Sample(i, "a", str(i)) for i in range(9)]
    samples += [Sample(9 + i, "b", "one camera") for i in range(9)]
    with pytest.raises(NotEnoughLabelsError, match="'b'") as caught:
        split_by_group(samples)
    assert caught.value.field == "b"
    assert "Label at least one more item" in caught.value.remedy


def test_groups_that_cannot_be_divided_are_refused() -> None:
    # Three labels, each in two of three groups: whichever group is held out alone lacks one.
    pairs = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "y"), ("c", "z"), ("a", "z")]
    samples = [Sample(i, label, group) for i, (label, group) in enumerate(pairs)]
    with pytest.raises(NotEnoughLabelsError, match="cannot be divided"):
        split_by_group(samples)


def test_a_new_label_whose_groups_all_teach_is_refused() -> None:
    samples = [Sample(i, "ab"[i % 2], str(i)) for i in range(20)]
    sides = split_by_group(samples).sides()
    taught = [key for key, side in sides.items() if side == TRAIN][:2]
    relabelled = [Sample(s.key, "new" if s.key in taught else s.label, s.group) for s in samples]
    with pytest.raises(NotEnoughLabelsError, match="'new' would be missing in the hold-out"):
        split_by_group(relabelled, fixed=sides)


@given(labelled_items(), st.integers(2, 6))
@settings(max_examples=100, deadline=None)
def test_folds_keep_groups_whole_and_every_label_in_every_rest(
    samples: list[Sample], folds: int
) -> None:
    names = sorted({s.label for s in samples})
    targets = np.array([names.index(s.label) for s in samples])
    groups = [s.group for s in samples]
    numbers = group_folds(targets, groups, folds=folds)
    assert numbers is not None
    per_class = [len({s.group for s in samples if s.label == n}) for n in names]
    assert set(numbers) <= set(range(min(folds, *per_class)))
    for group in set(groups):
        assert len({int(f) for f, g in zip(numbers, groups, strict=True) if g == group}) == 1


def test_folds_are_even() -> None:
    targets = np.arange(100) % 5
    numbers = group_folds(targets, [str(i) for i in range(100)])
    assert numbers is not None
    table = np.zeros((5, 5), int)
    np.add.at(table, (numbers, targets), 1)
    assert (table == 4).all()


def test_no_folds_with_a_single_group() -> None:
    assert group_folds(np.array([0, 0, 1]), ["x", "y", "z"]) is None


def test_the_holdout_constant_is_what_the_store_takes() -> None:
    assert (TRAIN, HOLDOUT) == ("train", "holdout")
