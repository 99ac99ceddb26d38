"""What `vlmtool-cli media info` says of DICOM objects that hold no picture."""

from __future__ import annotations

from pathlib import Path

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.records import Json


def without_picture(
    path: Path, error: UnsupportedMediaError, *, identifying: bool
) -> dict[str, Json]:
    """What a report, plan or waveform is, and why it is not shown.

    Raises
    ------
    UnsupportedMediaError : the error given, where the file is something else
    """
    from vlmtool_core.media.dicom.describing import describe_object

    found = describe_object(path)
    if found is None:
        raise error
    values: dict[str, Json] = {
        "path": str(path),
        "kind": "dicom",
        "object": found.kind,
        "frame_count": 0,
        "warnings": [error.message],
        "facts": dict(found.facts),
    }
    if identifying:
        values["identifying"] = dict(found.identifying)
    return values
