"""Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16): what is true of one frame."""

from __future__ import annotations

from typing import Any


def functional_group(dataset: Any, index: int, keyword: str) -> Any | None:
    """The macro `keyword` of frame `index` (0-based): its own, else the shared one, else None."""
    items = functional_groups(dataset, index, keyword)
    return items[0] if items else None


def functional_groups(dataset: Any, index: int, keyword: str) -> list[Any]:
    """All items of the macro `keyword` of frame `index`: its own, else the shared ones."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    own = [per_frame[index]] if index < len(per_frame) else []
    for group in [*own, *list(shared)[:1]]:
        items = group.get(keyword)
        if items:
            return list(items)
    return []


def differs_by_frame(dataset: Any, keyword: str) -> bool:
    """Whether frames have the macro `keyword` of their own."""
    return any(keyword in item for item in dataset.get("PerFrameFunctionalGroupsSequence") or ())
