"""The labels that a project can learn from: a person's, one for each item, in safe groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.errors import NotEnoughLabelsError, UsageError
from vlmtool_core.records import ItemRef, Label
from vlmtool_core.training.snapshot import SnapshotRow
from vlmtool_core.training.splits import Sample, Split, split_by_group

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project
    from vlmtool_core.training.records import TrainSettings

FEW_PER_LABEL = 5
NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class LabelledItem:
    """An item with its label. `group` holds everything that must stay on one side with it."""

    ref: ItemRef
    label: str
    annotation_id: int
    group: str

    @property
    def id(self) -> int:
        assert self.ref.item_id is not None
        return self.ref.item_id


@dataclass(frozen=True)
class LabelledData:
    """What there is to learn from. `labels` are those in use, in the order of the label set."""

    items: tuple[LabelledItem, ...]
    labels: tuple[Label, ...]
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def without(self, item_ids: Iterable[int], reason: str) -> LabelledData:
        """The same data less some items, which a warning names."""
        gone = set(item_ids)
        lost = [item for item in self.items if item.id in gone]
        if not lost:
            return self
        kept = tuple(item for item in self.items if item.id not in gone)
        used = {item.label for item in kept}
        warning = f"left out, {reason}: {_listed([item.ref.item for item in lost])}"
        return LabelledData(
            kept,
            tuple(label for label in self.labels if label.name in used),
            (*self.warnings, warning),
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown


def collect(project: Project) -> LabelledData:
    """The item-level labels that persons gave, with what had to be left out as warnings.

    Raises
    ------
    UsageError : the label set allows several labels for a picture.
    NotEnoughLabelsError : fewer than two labels are in use.
    """
    label_set = project.label_set()
    if not label_set.exclusive:
        raise UsageError(
            f"the label set {label_set.name!r} allows several labels for a picture; a probe "
            "learns exactly one",
            remedy="Make the label set exclusive, then train again.",
            field="label set",
        )
    given: dict[int, dict[str, int]] = defaultdict(dict)
    on_frames = 0
    for annotation in project.annotations():
        if annotation.kind == "label" and annotation.frame == 0:
            given[annotation.item_id][annotation.label] = annotation.id
        elif annotation.kind == "label":
            on_frames += 1
    refs = {ref.item_id: ref for ref in project.item_refs(sorted(given))}
    groups = _safe_groups(project.store.items.group_of(), list(refs.values()))
    items = tuple(
        LabelledItem(ref, *next(iter(given[item_id].items())), groups[item_id])
        for item_id, ref in refs.items()
        if item_id is not None and len(given[item_id]) == 1
    )
    known = {label.name: label for label in label_set.labels}
    used = Counter(item.label for item in items)
    order = [*(n for n in known if n in used), *sorted(set(used) - set(known))]
    twofold = [ref.item for i, ref in refs.items() if i is not None and len(given[i]) > 1]
    warnings = [*_warnings(items, used, twofold, on_frames)]
    data = LabelledData(items, tuple(known.get(n, Label(n)) for n in order), tuple(warnings))
    _check_two_labels(data)
    return data


def _check_two_labels(data: LabelledData) -> None:
    if len(data.labels) >= 2:
        return
    found = f"only the label {data.labels[0].name!r} is" if data.labels else "no label is"
    raise NotEnoughLabelsError(
        f"{found} in use; at least two are needed",
        remedy="Label items with two or more labels, then train again.",
    )


def _warnings(
    items: Sequence[LabelledItem], used: Counter[str], twofold: Sequence[str], on_frames: int
) -> Iterable[str]:
    if twofold:
        yield f"left out, as they carry several labels: {_listed(twofold)}"
    if on_frames:
        yield f"{on_frames} labels of single frames are not used; only those of whole items are"
    few = [name for name, count in used.items() if count < FEW_PER_LABEL]
    if few:
        yield f"fewer than {FEW_PER_LABEL} items carry the label {_listed(sorted(few))}"
    labels_of: dict[str, set[str]] = defaultdict(set)
    for item in items:
        labels_of[item.ref.sha256].add(item.label)
    torn = [item.ref.item for item in items if len(labels_of[item.ref.sha256]) > 1]
    if torn:
        yield f"the same picture carries different labels: {_listed(torn)}"


def _safe_groups(group_of: dict[int, str], refs: Sequence[ItemRef]) -> dict[int, str]:
    """Group by item id. Items of equal content are joined, and with them their groups.

    Otherwise a duplicate could lie on both sides, and the hold-out would prove nothing.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    nodes: dict[int, str] = {}
    for ref in refs:
        assert ref.item_id is not None
        group = group_of.get(ref.item_id, "")
        nodes[ref.item_id] = f"group:{group}" if group else f"item:{ref.item_id}"
        a, b = root(nodes[ref.item_id]), root(f"content:{ref.sha256 or ref.item_id}")
        parent[max(a, b)] = min(a, b)
    return {item_id: root(node) for item_id, node in nodes.items()}


@dataclass(frozen=True)
class Sides:
    """The labelled items on either side of the fixed split."""

    train: tuple[LabelledItem, ...]
    holdout: tuple[LabelledItem, ...]
    warnings: tuple[str, ...] = ()

    def snapshot_rows(self) -> list[SnapshotRow]:
        return [
            SnapshotRow(i.id, i.annotation_id, i.ref.sha256, i.label, i.group, side)
            for side, items in (("train", self.train), ("holdout", self.holdout))
            for i in items
        ]


def divide(
    project: Project, data: LabelledData, settings: TrainSettings, *, fix: bool = True
) -> Sides:
    """Both sides by the split that the project keeps; items new to it are assigned.

    fix : write the new assignments down, for good

    Raises
    ------
    NotEnoughLabelsError : a label cannot be on both sides.
    """
    samples = [Sample(item.id, item.label, item.group) for item in data.items]
    split: Split = split_by_group(
        samples,
        fixed=project.store.learning.split(),
        fraction=settings.holdout,
        seed=settings.seed,
    )
    if fix:
        project.store.learning.add_to_split(split.sides())
    by_id = {item.id: item for item in data.items}
    warnings: tuple[str, ...] = ()
    if split.excluded:
        names = _listed([by_id[key].ref.item for key in split.excluded])
        warnings = (f"left out, as their group or a copy of them is in the hold-out: {names}",)
    return Sides(
        tuple(by_id[key] for key in split.train),
        tuple(by_id[key] for key in split.holdout),
        warnings,
    )
