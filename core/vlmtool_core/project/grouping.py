"""Groups: what must not be split between training and hold-out (patient, student, camera)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from vlmtool_core.errors import UsageError
from vlmtool_core.media import Discovered, MediaInfo

# (name of the item, what was found, its header) -> group, "" for none
Grouping = Callable[[str, Discovered, MediaInfo | None], str]


def grouping(group_by: str | None) -> Grouping:
    """The rule behind `--group-by`.

    None groups DICOM by patient and leaves everything else ungrouped: two pictures of one
    patient on both sides of a split would make every accuracy a lie.

    Raises
    ------
    UsageError : no valid regular expression, or not exactly one group in it
    """
    if group_by in (None, "patient"):
        return _by_patient
    if group_by == "folder":
        return _by_folder
    return _by_pattern(str(group_by))


def _by_patient(_name: str, _found: Discovered, info: MediaInfo | None) -> str:
    return info.group if info is not None else ""


def _by_folder(name: str, found: Discovered, _info: MediaInfo | None) -> str:
    if found.files:  # a series: its slices lie in the folder that it is named after
        return name.partition("#")[0]
    parent = str(PurePosixPath(name).parent)
    return found.path.parent.name if parent == "." else parent


def _by_pattern(pattern: str) -> Grouping:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"no regular expression: {error}", field="group-by") from error
    if "group" in expression.groupindex:
        wanted: int | str = "group"
    elif expression.groups == 1:
        wanted = 1
    else:
        raise UsageError(
            f"{pattern!r} has {expression.groups} groups, one is needed",
            field="group-by",
            remedy="Put one part in parentheses, as in '(patient[0-9]+)_', or call it (?P<group>).",
        )

    def by_pattern(name: str, _found: Discovered, _info: MediaInfo | None) -> str:
        match = expression.search(name)
        return (match[wanted] or "") if match else ""

    return by_pattern
