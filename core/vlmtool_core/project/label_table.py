"""Labels from a table (path, label[, group]): all of it is taken in, or nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vlmtool_core.errors import FormatError

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project

COLUMNS = ("path", "label", "group")
NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row; `line` is 1-based. `group` is None when the table has no such column."""

    line: int
    path: str
    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What a table changed.

    labelled : items whose label is new or another one; unchanged : items that had it already
    grouped : items whose group changed; unknown : paths that no item has
    """

    labelled: int
    unchanged: int
    grouped: int
    unknown: tuple[str, ...] = ()


def read_label_table(path: Path) -> list[LabelRow]:
    """Read a CSV file in UTF-8 with a header line; comma, semicolon or tab between columns.

    Raises
    ------
    FormatError : no such file, not UTF-8, a column or value is missing, or one path has two
        labels.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(path, file))
    except OSError as error:
        raise FormatError(
            error.strerror or str(error), path=path, remedy="Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(
            f"not UTF-8 (byte {error.start})", path=path, remedy='Save it as "CSV UTF-8".'
        ) from error
    except csv.Error as error:
        raise FormatError(f"not a table: {error}", path=path) from error
    if not rows:
        raise FormatError("there is no row below the header", path=path)
    _check_contradictions(path, rows)
    return rows


def _rows(path: Path, file: TextIO) -> Iterator[LabelRow]:
    header = file.readline()
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=delimiter))]
    for required in COLUMNS[:2]:
        if required not in names:
            raise FormatError(
                f"no such column in the first line; it has: {', '.join(filter(None, names))}",
                remedy="The first line must name the columns: path,label[,group].",
                path=path,
                field=required,
            )
    reader = csv.reader(file, delimiter=delimiter)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num + 1
        if len(cells) != len(names):
            raise FormatError(
                f"line {line} has {len(cells)} columns, the header {len(names)}", path=path
            )
        if "\0" in "".join(cells):
            raise FormatError(f"line {line} holds a zero byte; this is no text", path=path)
        values = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        for required in COLUMNS[:2]:
            if not values[required]:
                raise FormatError(f"line {line} has no value", path=path, field=required)
        yield LabelRow(line, values["path"], values["label"], values.get("group"))


def _check_contradictions(path: Path, rows: Sequence[LabelRow]) -> None:
    first: dict[str, LabelRow] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if (other.label, other.group) != (row.label, row.group):
            raise FormatError(
                f"lines {other.line} and {row.line} say different things of {row.path}",
                path=path,
                field="label" if other.label != row.label else "group",
            )


def take_in_labels(
    project: Project, path: Path, rows: Sequence[LabelRow], *, skip_unknown: bool = False
) -> LabelReport:
    """Label the items that the rows name, as one undoable step; set their groups.

    A path is an item's name in the project, or a file: absolute, or relative to the table or to
    the working folder.

    Raises
    ------
    FormatError : a path is no item's and `skip_unknown` is not set; nothing is then taken in.
    """
    find = _Finder(project, path.parent)
    found = {row: find(row.path) for row in rows}
    unknown = tuple(dict.fromkeys(row.path for row, item in found.items() if item is None))
    if unknown and not skip_unknown:
        raise _unknown_error(path, unknown, len(rows))
    labels: dict[int, str] = {}
    groups: dict[int, str] = {}
    for row, item_id in found.items():
        if item_id is None:
            continue
        if labels.setdefault(item_id, row.label) != row.label:
            raise FormatError(
                f"line {row.line}: {row.path} is named twice, with different labels",
                path=path,
                field="label",
            )
        if row.group is not None:
            groups[item_id] = row.group
    grouped = _set_groups(project, groups)
    changed = 0
    if labels:
        changed = project.store.annotations.set_labels(
            labels, description=f"label {len(labels)} items from {path.name}"
        )
    return LabelReport(changed, len(labels) - changed, grouped, unknown)


class _Finder:
    """Finds items by name or by file."""

    def __init__(self, project: Project, folder: Path) -> None:
        self._folder = folder.absolute()
        known = project.store.items.known()
        self._names = {item.name: item.id for item in known}
        self._paths = {item.path: item.id for item in known}

    def __call__(self, text: str) -> int | None:
        for name in (text, text.replace("\\", "/")):
            if name in self._names:
                return self._names[name]
        for folder in (self._folder, Path.cwd()):
            path = os.path.normpath(folder / text)
            for candidate in (path, os.path.realpath(path)):
                if candidate in self._paths:
                    return self._paths[candidate]
        return None


def _unknown_error(path: Path, unknown: Sequence[str], rows: int) -> FormatError:
    shown = "".join(f"\n    {name}" for name in unknown[:NAMED_AT_MOST])
    more = len(unknown) - NAMED_AT_MOST
    rest = f"\n    and {more} more" if more > 0 else ""
    return FormatError(
        f"{len(unknown)} of {rows} rows name no item of this project; nothing was taken in:"
        f"{shown}{rest}",
        remedy="Add these files first (vlmtool-cli add PROJECT PATH), or give --skip-unknown to "
        "take in the other rows.",
        path=path,
        field="path",
    )


def _set_groups(project: Project, groups: Mapping[int, str]) -> int:
    before = project.store.items.group_of()
    changed = {i: name for i, name in groups.items() if before.get(i, "") != name}
    if changed:
        project.store.items.set_groups(changed)
    return len(changed)
