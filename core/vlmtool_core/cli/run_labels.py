"""The labels of a run: as typed, of the project, or of a plugin's label set."""

from __future__ import annotations

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


def labels_of_set(name: str, known: LabelSet | None) -> LabelSet:
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
