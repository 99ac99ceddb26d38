"""The measurements of a project, each measured again on the pixels as they are now."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.errors import VlmtoolError
from vlmtool_core.measurement import Measured, Measurement
from vlmtool_core.media.measured_text import changes
from vlmtool_core.media.measurements import measured_again
from vlmtool_core.records import ErrorInfo, ItemRef
from vlmtool_core.store.records import AnnotationRecord, ItemQuery

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project


@dataclass(frozen=True, slots=True)
class CheckedMeasurement:
    """A stored measurement, and what it comes to now.

    now : None where it could not be measured again; `error` says why then
    changes : in what `now` differs from what was stored, each with what it was
    """

    item: str
    annotation: AnnotationRecord
    measurement: Measurement
    now: Measured | None
    changes: tuple[str, ...] = ()
    error: ErrorInfo | None = None


def checked_measurements(
    project: Project, item_id: int | None = None
) -> Iterator[CheckedMeasurement]:
    """Of one item, or of all by name; within an item by frame. Decodes what was measured on."""
    items = project.items(ItemQuery()) if item_id is None else [project.item(item_id)]
    refs = {ref.item_id: ref for ref in project.item_refs([item.id for item in items])}
    kept = [a for a in project.annotations(item_id) if a.measurement is not None]
    by_item = {key: list(rows) for key, rows in itertools.groupby(kept, lambda a: a.item_id)}
    for item in items:
        if item.id not in by_item:
            continue
        ref = refs.get(item.id)
        if ref is not None:
            yield from check(ref, by_item[item.id])
            continue
        for annotation in by_item[item.id]:
            assert annotation.measurement is not None
            yield CheckedMeasurement(
                item.name, annotation, annotation.measurement, None, (), item.error
            )


def check(ref: ItemRef, annotations: Sequence[AnnotationRecord]) -> Iterator[CheckedMeasurement]:
    """Measurements of one item, by frame, measured again."""
    pairs = [(a, a.measurement) for a in annotations if a.measurement is not None]
    shapes = [(a.frame, measurement) for a, measurement in pairs]
    for (annotation, kept), now in zip(pairs, measured_again(ref, shapes), strict=True):
        if isinstance(now, VlmtoolError):
            error = ErrorInfo.from_exception(now)
            yield CheckedMeasurement(ref.item, annotation, kept, None, (), error)
        else:
            told = tuple(changes(kept.result, now))
            yield CheckedMeasurement(ref.item, annotation, kept, now, told)
