"""`vlmtool-cli clock`: when recordings took place by the clock on the wall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlmtool_core.cli.console import emit_json
from vlmtool_core.errors import MediaError
from vlmtool_core.project import Project
from vlmtool_core.records import Json, MediaKind

if TYPE_CHECKING:
    from vlmtool_core.project.clocks import WallClock
    from vlmtool_core.store.records import ItemRecord


@click.command()
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.argument("item", required=False)
@click.option("--start", metavar="TIME", help='When the recording of ITEM started; "" forgets it.')
@click.option(
    "--offset",
    type=float,
    metavar="SECONDS",
    help="True time minus the time of the recorder, for all items of ITEM's group.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def clock(
    project: Path, item: str | None, start: str | None, offset: float | None, as_json: bool
) -> None:
    """List the wall-clock times of the videos of a project, or correct those of ITEM.

    The start is the one that the file states unless one is typed, in ISO 8601; the offset is
    that of the camera (the group), measured against a clock that is right. File times stay as
    they are. Every change is kept in the audit log.
    """
    from vlmtool_core.project.clocks import camera_of, set_offset, set_start

    if item is None and (start is not None or offset is not None):
        raise click.UsageError("name the ITEM whose clock is corrected")
    with Project.open(project) as opened:
        chosen = [opened.find_item(item)] if item is not None else opened.items()
        if start is not None:
            set_start(opened, chosen[0], start)
        if offset is not None:
            set_offset(opened, camera_of(chosen[0]), offset)
        rows = [_row(opened, one) for one in chosen if one.kind is MediaKind.VIDEO]
    if as_json:
        emit_json(rows)
        return
    for row in rows:
        times = f"{row['from']} to {row['to']}" if row["from"] else row["problem"]
        click.echo(f"{row['item']}: {times} (camera {row['camera']}, {row['offset_s']:+g} s)")


def _row(project: Project, item: ItemRecord) -> dict[str, Json]:
    from vlmtool_core.media import open_media
    from vlmtool_core.project.clocks import camera_of, wall_clock

    found: WallClock | None = None
    problem = "the file does not say when it was recorded; give --start"
    end_s = 0.0
    try:
        with open_media(item.path) as source:
            found = wall_clock(project, item, source.info.facts)
            end_s = source.info.duration_s or 0.0
    except MediaError as error:
        problem = error.message
    return {
        "item": item.name,
        "camera": camera_of(item),
        "from": found and found.text(found.start_s),
        "to": found and found.text(found.start_s + end_s),
        "offset_s": found.offset_s if found else 0.0,
        "source": found and found.source,
        "problem": "" if found else problem,
    }
