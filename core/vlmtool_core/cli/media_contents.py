"""What `vlmtool-cli media info` says of a folder, archive or DICOMDIR with several items."""

from __future__ import annotations

from pathlib import Path

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.media import Discovered


def list_contents(path: Path, *, as_json: bool) -> bool:
    """List what is in PATH, where it is not one item; whether that was so.

    Raises
    ------
    MediaError, StorageError
    """
    from vlmtool_core.json_codec import error_to_json
    from vlmtool_core.media.containers import contents

    found = contents(path)
    series = [item for item in found if item.files]
    one = len(found) < 2 or (path.is_dir() and len(series) == 1)
    if one:
        return False
    if as_json:
        items = [
            {
                "item": item.name,
                "open": str(_opened_by(item)),
                "kind": item.kind and item.kind.value,
                "files": len(item.files) or 1,
                "error": item.error and error_to_json(item.error),
            }
            for item in found
        ]
        emit_json({"path": str(path), "items": items})
        return True
    rows = [
        (
            item.kind.value if item.kind else "unreadable",
            str(len(item.files) or 1),
            str(_opened_by(item)),
            item.error.message if item.error else "",
        )
        for item in found
    ]
    emit_table(path.name, ("Kind", "Files", "Name it to see more", "Problem"), rows)
    return True


def _opened_by(item: Discovered) -> Path:
    """The path that means this item alone."""
    if not item.files:
        return item.path
    label = item.name.rpartition("#")[2] if "#" in Path(item.name).name else ""
    return item.path.with_name(f"{item.path.name}#{label}") if label else item.path
