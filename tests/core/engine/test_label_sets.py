"""Several label sets in one run: each set sums to one, and equals a run of that set alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.batch import RunSpec
from vlmtool_core.cli.run_labels import labels_of_sets
from vlmtool_core.engine.texts.label_sets import softmax_by_set
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Label, LabelSet, Task


@given(
    st.lists(st.sampled_from(["", "a", "b"]), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_each_set_is_a_softmax_of_its_own(sets: list[str], seed: int) -> None:
    labels = [Label(f"l{n}", label_set=name) for n, name in enumerate(sets)]
    logits = np.random.default_rng(seed).normal(0, 30, (3, len(labels)))
    together = softmax_by_set(logits, labels)
    for name in set(sets):
        columns = [n for n, each in enumerate(sets) if each == name]
        alone = softmax_by_set(logits[:, columns], [labels[n] for n in columns])
        np.testing.assert_allclose(together[:, columns], alone, rtol=1e-6)
        np.testing.assert_allclose(together[:, columns].sum(1), 1, rtol=1e-5)


def test_sets_are_joined_and_their_labels_remember_the_set() -> None:
    project = LabelSet("ward", (Label("lateral"), Label("frontal")))
    joined = labels_of_sets(("ward", "scene"), project, None)
    assert {label.label_set for label in joined.labels} == {"ward", "scene"}
    spec = RunSpec(Task.CLASSIFY, labels=joined.labels)
    assert RunSpec.from_json(spec.to_json()) == spec


def test_the_set_is_part_of_what_a_run_is() -> None:
    one = RunSpec(Task.CLASSIFY, labels=(Label("x"), Label("y")))
    two = RunSpec(Task.CLASSIFY, labels=(Label("x", label_set="a"), Label("y", label_set="b")))
    assert one.fingerprint() != two.fingerprint()


def test_a_label_in_two_sets_is_refused() -> None:
    project = LabelSet("ward", (Label("street"),))
    with pytest.raises(UsageError, match="street"):
        labels_of_sets(("ward", "scene"), project, None)


def test_sets_that_disagree_ask_for_a_decision() -> None:
    project = LabelSet("ward", (Label("drain"),), exclusive=False)
    with pytest.raises(UsageError) as caught:
        labels_of_sets(("ward", "scene"), project, None)
    assert "--any" in caught.value.remedy
    assert labels_of_sets(("ward", "scene"), project, True).labels
