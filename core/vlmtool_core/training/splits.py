"""Training and hold-out: by group, stratified, fixed once; and folds for cross-validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vlmtool_core.errors import NotEnoughLabelsError

Side = Literal["train", "holdout"]
TRAIN: Final = "train"
HOLDOUT: Final = "holdout"
ATTEMPTS = 32

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled item. `group` names what must stay together (patient, student, camera)."""

    key: int
    label: str
    group: str


@dataclass(frozen=True)
class Split:
    """Keys by side.

    excluded : keys of the training side whose group also lies in the hold-out (groups were
        changed after the split was made); they are used for nothing, so that nothing leaks
    """

    train: tuple[int, ...]
    holdout: tuple[int, ...]
    excluded: tuple[int, ...] = ()

    def sides(self) -> dict[int, Side]:
        """Side by key, as it is stored."""
        sides: dict[int, Side] = dict.fromkeys((*self.train, *self.excluded), TRAIN)
        return sides | dict.fromkeys(self.holdout, HOLDOUT)


@dataclass
class _State:
    """Counts per class on each side while groups are handed out."""

    target: NDArray[np.float64]
    holdout: Ints
    train: Ints
    chosen: set[str] = field(default_factory=set)

    def gain(self, counts: Ints) -> float:
        """How much nearer to the target the hold-out comes by taking `counts` in."""
        scale = np.maximum(self.target, 1.0)
        before = ((self.holdout - self.target) / scale) ** 2
        after = ((self.holdout + counts - self.target) / scale) ** 2
        return float((before - after).sum())

    def allows(self, counts: Ints) -> bool:
        """Whether every class keeps a sample to train on."""
        return bool(((self.train - counts > 0) | (counts == 0)).all())

    def take(self, group: str, counts: Ints) -> None:
        self.holdout += counts
        self.train -= counts
        self.chosen.add(group)


def split_by_group(
    samples: Sequence[Sample],
    *,
    fixed: Mapping[int, str] | None = None,
    fraction: float = 0.2,
    seed: int = 0,
) -> Split:
    """Divide labelled items into training and hold-out.

    A group is never divided. Items in `fixed` (key -> side, from earlier) stay where they are
    and pull their group with them; only groups that are new are handed out, so that each label's
    share in the hold-out comes near to `fraction`, and is at least one item.

    Raises
    ------
    NotEnoughLabelsError : fewer than two labels, or a label that cannot be on both sides.
    """
    fixed = fixed or {}
    sides = _fixed_sides(samples, fixed)
    leaking = {s.key for s in samples if fixed.get(s.key) == TRAIN and sides[s.group] == HOLDOUT}
    usable = [s for s in samples if s.key not in leaking]
    classes = sorted({s.label for s in usable})
    if len(classes) < 2:
        found = f"only the label {classes[0]!r}" if classes else "no label"
        raise NotEnoughLabelsError(
            f"{found} is in use; at least two are needed",
            remedy="Label items with two or more labels, then train again.",
        )
    _check_groups(usable, classes)
    counts = _counts(usable, classes)
    for attempt in range(ATTEMPTS):
        chosen = _choose(counts, sides, fraction, f"{seed}:{attempt}")
        missing = _missing(counts, chosen, classes)
        if not missing:
            return Split(
                tuple(s.key for s in usable if s.group not in chosen),
                tuple(s.key for s in usable if s.group in chosen),
                tuple(sorted(leaking)),
            )
    raise _cannot_split(missing)


def _fixed_sides(samples: Sequence[Sample], fixed: Mapping[int, str]) -> dict[str, str | None]:
    """Side by group, None for a new one. The hold-out wins: what proves must never have taught."""
    sides: dict[str, str | None] = {s.group: None for s in samples}
    for sample in samples:
        side = fixed.get(sample.key)
        if side is not None and sides[sample.group] != HOLDOUT:
            sides[sample.group] = side
    return sides


def _check_groups(samples: Sequence[Sample], classes: Sequence[str]) -> None:
    groups: dict[str, set[str]] = {name: set() for name in classes}
    for sample in samples:
        groups[sample.label].add(sample.group)
    few = [name for name in classes if len(groups[name]) < 2]
    if few:
        raise NotEnoughLabelsError(
            f"too few items with the label {_quoted(few)}: one goes to training, one to the "
            "hold-out, and they must be of different groups and content",
            remedy="Label at least one more item (of another group) with each label named.",
            field=few[0],
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _counts(samples: Sequence[Sample], classes: Sequence[str]) -> dict[str, Ints]:
    index = {name: i for i, name in enumerate(classes)}
    counts: dict[str, Ints] = {}
    for sample in samples:
        row = counts.setdefault(sample.group, np.zeros(len(classes), np.int64))
        row[index[sample.label]] += 1
    return counts


def _order(group: str, salt: str) -> bytes:
    """A shuffle that depends on the group and the seed alone, not on what else is there."""
    return hashlib.sha256(f"{salt}:{group}".encode()).digest()


def _choose(
    counts: Mapping[str, Ints], sides: Mapping[str, str | None], fraction: float, salt: str
) -> set[str]:
    total = np.sum(list(counts.values()), axis=0)
    state = _State(np.maximum(total * fraction, 1.0), np.zeros_like(total), total.copy())
    for group, side in sides.items():
        if side == HOLDOUT and group in counts:
            state.take(group, counts[group])
    free = sorted((g for g, side in sides.items() if side is None), key=lambda g: _order(g, salt))
    groups_per_class = np.sum([counts[g] > 0 for g in counts], axis=0)
    for label in np.argsort(groups_per_class, kind="stable"):
        if state.holdout[label] == 0:
            holding = [g for g in free if counts[g][label] and state.allows(counts[g])]
            if holding:
                best = max(holding, key=lambda g: state.gain(counts[g]))
                state.take(best, counts[best])
    for group in free:
        row = counts[group]
        if group not in state.chosen and state.gain(row) > 1e-12 and state.allows(row):
            state.take(group, row)
    return state.chosen


def _missing(
    counts: Mapping[str, Ints], chosen: set[str], classes: Sequence[str]
) -> dict[str, list[str]]:
    zero = np.zeros(len(classes), np.int64)
    held = sum((counts[g] for g in chosen), zero)
    trained = sum((row for g, row in counts.items() if g not in chosen), zero)
    found = {
        "hold-out": [name for name, n in zip(classes, held, strict=True) if n == 0],
        "training": [name for name, n in zip(classes, trained, strict=True) if n == 0],
    }
    return {side: names for side, names in found.items() if names}


def _cannot_split(missing: Mapping[str, Sequence[str]]) -> NotEnoughLabelsError:
    parts = [f"{_quoted(names)} would be missing in the {side}" for side, names in missing.items()]
    return NotEnoughLabelsError(
        f"the groups cannot be divided so that every label is on both sides: {'; '.join(parts)}",
        remedy="Label items of groups that have no label yet with each label named.",
        field=next(iter(missing.values()))[0],
    )


def group_folds(
    targets: Ints, groups: Sequence[str], *, folds: int = 5, seed: int = 0
) -> Ints | None:
    """Fold number (0 to k-1) of each sample, k <= `folds`, groups whole, labels spread evenly.

    None when a label has fewer than two groups, so that no cross-validation is possible.

    Parameters
    ----------
    targets : int (n,), class index of each sample
    groups : group of each sample
    """
    names, group_index = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    classes = int(targets.max()) + 1 if targets.size else 0
    counts = np.zeros((len(names), classes), np.int64)
    np.add.at(counts, (group_index, targets), 1)
    per_class = (counts > 0).sum(axis=0)
    k = int(min(folds, per_class[per_class > 0].min(initial=folds)))
    if k < 2:
        return None
    # Big, one-sided groups first, as they are the hardest to place; the rest in seeded order.
    order = sorted(
        range(len(names)), key=lambda g: (-int(counts[g].max()), _order(str(names[g]), f"{seed}"))
    )
    load = np.zeros((k, classes), np.float64)
    fold_of_group = np.zeros(len(names), np.int64)
    share = np.maximum(counts.sum(axis=0), 1)
    for group in order:
        after = load + counts[group] / share
        cost = after @ counts[group] + 1e-6 * after.sum(axis=1)
        fold = int(np.argmin(cost))
        fold_of_group[group] = fold
        load[fold] = after[fold]
    return fold_of_group[group_index]
