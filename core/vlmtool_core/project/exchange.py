"""Annotations and predictions out of a project, and annotations into it: all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import FormatError
from vlmtool_core.formats import AnnotationRow, read_annotations
from vlmtool_core.project.clocks import TimesOfDay
from vlmtool_core.records import ResultRow, Task
from vlmtool_core.store.records import ItemQuery, ItemRecord, NewAnnotation, PredictionRecord

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project

NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import came to.

    read : annotations in the file; changed : new ones and labels that changed
    unknown : items of the file that the project does not have, each once
    """

    read: int
    changed: int
    unknown: tuple[str, ...] = ()


def annotation_rows(project: Project) -> Iterator[AnnotationRow]:
    """Every annotation of the project, by item and frame."""
    items = {item.id: item for item in project.items(ItemQuery(order="added"))}
    for annotation in project.annotations():
        item = items[annotation.item_id]
        yield AnnotationRow(
            item=item.name,
            kind=annotation.kind,
            frame=annotation.frame,
            label=annotation.label,
            box=annotation.box,
            text=annotation.text,
            author=annotation.author,
            sha256=item.sha256,
            group=item.group,
            created_at=annotation.created_at,
            updated_at=annotation.updated_at,
            size=_size(item),
            measurement=annotation.measurement,
        )


def _size(item: ItemRecord) -> tuple[int, int] | None:
    return None if item.width is None or item.height is None else (item.width, item.height)


def result_rows(
    project: Project, *, task: Task | None = None, newest_only: bool = True
) -> Iterator[ResultRow]:
    """Predictions as results, newest run first; of each frame and task only the newest."""
    names = {i: name for name, i in project.store.items.ids_by_name().items()}
    seen: set[tuple[Task, int, int]] = set()
    times = TimesOfDay(project)
    for run in reversed(project.runs()):
        if task is not None and run.task is not task:
            continue
        for chunk in project.store.runs.of_run(run.id):
            for prediction in chunk:
                key = (run.task, prediction.item_id, prediction.frame)
                if newest_only and key in seen:
                    continue
                seen.add(key)
                taken_at = times.of(prediction.item_id, prediction.time_s)
                yield _result(names[prediction.item_id], prediction, taken_at)


def _result(name: str, prediction: PredictionRecord, taken_at: str) -> ResultRow:
    return ResultRow(
        name,
        prediction.sha256,
        prediction.frame,
        prediction.time_s,
        prediction.task,
        prediction.model,
        prediction.outcome,
        prediction.size,
        taken_at,
    )


def import_annotations(
    project: Project, path: Path, format_name: str, *, skip_unknown: bool = False
) -> ImportReport:
    """Take the annotations of a file in, as one undoable step; nothing of it on any error.

    An item is found by its name in the project, or by the absolute path of its file; never by a
    part of either. A SHA-256 in the file must be the item's.

    Raises
    ------
    FormatError : the file, the row, the field; also for items that are not in the project,
        unless `skip_unknown` is set
    MediaNotFoundError : no such file
    """
    rows = read_annotations(format_name, path)
    ids, records = _find_items(project, rows)
    unknown = tuple(dict.fromkeys(row.item for row in rows if row.item not in ids))
    if unknown and not skip_unknown:
        raise _unknown(path, unknown)
    known = [row for row in rows if row.item in ids]
    for row in known:
        _check(path, row, records[ids[row.item]])
    if project.label_set().exclusive:
        _check_exclusive(path, known)
    new = [_new(row, ids[row.item]) for row in known]
    description = f"import {len(new)} annotations from {path.name}"
    changed = project.store.annotations.take_in(new, description=description)
    facts = {"file": path.name, "read": len(rows), "changed": changed, "unknown": len(unknown)}
    project.store.audit.append("annotations.imported", facts)
    return ImportReport(len(rows), changed, unknown)


def _find_items(
    project: Project, rows: Sequence[AnnotationRow]
) -> tuple[dict[str, int], dict[int, ItemRecord]]:
    """Name in the file -> item, and the items."""
    wanted = {row.item for row in rows}
    names = project.store.items.ids_by_name()
    ids = {name: names[name] for name in wanted if name in names}
    if len(ids) < len(wanted):
        paths = {known.path: known.id for known in project.store.items.known()}
        ids |= {name: paths[name] for name in wanted - ids.keys() if name in paths}
    items = project.store.items.by_ids(sorted(set(ids.values())))
    return ids, {item.id: item for item in items}


def _unknown(path: Path, unknown: Sequence[str]) -> FormatError:
    named = ", ".join(unknown[:NAMED_AT_MOST])
    more = f" and {len(unknown) - NAMED_AT_MOST} more" if len(unknown) > NAMED_AT_MOST else ""
    return FormatError(
        f"{len(unknown)} items are not in the project: {named}{more}",
        path=path,
        field="item",
        remedy="Add them first, correct the names, or import with --skip-unknown.",
    )


def _check(path: Path, row: AnnotationRow, item: ItemRecord) -> None:
    where = f"{row.where}, " if row.where else ""
    if row.sha256 and item.sha256 and row.sha256 != item.sha256:
        raise FormatError(
            f"{row.item} has other content in the project",
            path=path,
            field=f"{where}sha256",
            remedy="This annotation was made on another file of that name.",
        )
    if item.frame_count is not None and row.frame >= item.frame_count:
        raise FormatError(
            f"{row.item} has {item.frame_count} frames, there is none numbered {row.frame}",
            path=path,
            field=f"{where}frame",
        )


def _check_exclusive(path: Path, rows: Sequence[AnnotationRow]) -> None:
    first: dict[tuple[str, int], AnnotationRow] = {}
    for row in rows:
        if row.kind != "label":
            continue
        other = first.setdefault((row.item, row.frame), row)
        if other.label != row.label:
            raise FormatError(
                f"{row.item} has two labels, {other.label!r} and {row.label!r}",
                path=path,
                field=f"{row.where}, label" if row.where else "label",
                remedy="Keep one, or allow several: vlmtool-cli project labels DIR --several",
            )


def _new(row: AnnotationRow, item_id: int) -> NewAnnotation:
    return NewAnnotation(
        item_id,
        row.frame,
        row.kind,
        row.label,
        row.box,
        row.text,
        author=row.author,
        measurement=row.measurement,
    )
