"""The items of a file or folder that belongs to no project."""

from __future__ import annotations

from pathlib import Path

from vlmtool_core.errors import UsageError
from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.media import Discovered, scan
from vlmtool_core.records import ItemRef, MediaKind


def items_of(
    path: Path, *, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
) -> list[ItemRef]:
    """Everything under `path` that is, or claims to be, a picture, DICOM or video.

    Files that cannot be opened are among them, so that the run lists them with their reason.

    Raises
    ------
    UsageError : `path` is not there, or holds nothing to look at.
    CancelledError
    """
    if not path.exists():
        raise UsageError("no such file or folder", path=path, remedy="Check the path.")
    found = scan([path], progress=progress, cancel=cancel or CancelToken())
    items = [_item(discovered) for discovered in found]
    if not items:
        raise UsageError(
            "holds no picture, DICOM or video",
            path=path,
            remedy=_remedy(path),
        )
    return items


def _remedy(path: Path) -> str:
    archives = sorted(path.glob("*.zip")) if path.is_dir() else []
    if archives:
        return f"Archives are opened when they are named themselves: {archives[0]}"
    return "Name a folder with images, DICOM or video, or one file."


def _item(found: Discovered) -> ItemRef:
    # Of a file that cannot be read nothing is known; opening it again will say why.
    return ItemRef(found.name, found.path, found.kind or MediaKind.IMAGE, files=found.files)
