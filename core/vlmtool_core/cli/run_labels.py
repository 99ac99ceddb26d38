"""The labels of a run: as typed, of the project, or of a plugin's label set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vlmtool_core.errors import RecordNotFoundError, UsageError
from vlmtool_core.records import Label, LabelSet


def labels_given(text: str, known: LabelSet | None) -> LabelSet:
    """Labels from "cat,dog"; those of the project bring their prompts and definitions.

    Raises
    ------
    UsageError : no label, or one twice.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("names no label", field="--labels")
    if len(set(names)) < len(names):
        raise UsageError("names a label twice", field="--labels")
    by_name = {label.name: label for label in known.labels} if known is not None else {}
    labels = tuple(by_name.get(name, Label(name)) for name in names)
    return LabelSet("given", labels, exclusive=known.exclusive if known is not None else True)


def labels_of_sets(
    names: Sequence[str], known: LabelSet | None, exclusive: bool | None
) -> LabelSet:
    """The label sets called `names` as one; each label says which of them it is of.

    exclusive : what the user asked for; None where the sets are to decide

    Raises
    ------
    RecordNotFoundError, UsageError : as `_labels_of_set`; a label in two sets; sets that do not
        agree on being exclusive.
    """
    sets = [_labels_of_set(name, known) for name in dict.fromkeys(names)]
    if len(sets) == 1:
        return sets[0]
    labels = [replace(x, label_set=found.name) for found in sets for x in found.labels]
    twice = sorted(name for name, n in Counter(x.name for x in labels).items() if n > 1)
    if twice:
        raise UsageError(
            f"{', '.join(twice)} stands in two of the label sets",
            field="--label-set",
            remedy="Run the sets one after the other.",
        )
    if exclusive is None and len({found.exclusive for found in sets}) > 1:
        raise UsageError(
            "in some of the label sets one label holds, in others several",
            field="--label-set",
            remedy="Say --exclusive or --any.",
        )
    return LabelSet(" + ".join(names), tuple(labels), exclusive=sets[0].exclusive)


def _labels_of_set(name: str, known: LabelSet | None) -> LabelSet:
    """The label set called `name`; the project's own goes before those of plugins.

    Raises
    ------
    RecordNotFoundError : there is none of that name.
    UsageError : it is empty.
    """
    from vlmtool_core.hooks.manager import plugin_manager

    sets = {found.name: found for found in plugin_manager().label_sets()}
    if known is not None and known.labels:
        sets[known.name] = known
    if name not in sets:
        there = ", ".join(sorted(sets))
        raise RecordNotFoundError(
            f"no label set {name!r}; there are: {there}",
            field="--label-set",
            remedy="Use one of these names, or --labels.",
        )
    return replace(sets[name], name=name)
