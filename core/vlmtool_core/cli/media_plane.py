"""`vlmtool-cli media render --plane`: a plane through a volume."""

from __future__ import annotations

from collections.abc import Mapping

from vlmtool_core.cli.console import progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.errors import UsageError
from vlmtool_core.media import MediaSource, Window
from vlmtool_core.media.base import grey
from vlmtool_core.records import Frame


def render_plane(
    source: MediaSource,
    name: str,
    number: int,
    window: Window | None,
    box: tuple[int, int] | None,
    *,
    drawn: Mapping[str, bool],
) -> Frame:
    """Plane `number` of that name, from 0, fitted into `box` (width, height).

    drawn : options for what is drawn on frames, and whether they were given

    Raises
    ------
    UsageError : there is no such plane, or something is asked for that lies on frames
    MediaError : it is no volume, or cannot be decoded
    """
    from vlmtool_core.media.volumes.axes import Plane
    from vlmtool_core.media.volumes.building import build_volume
    from vlmtool_core.media.volumes.rendering import plane_frame

    for option, given in drawn.items():
        if given:
            raise UsageError(
                "it is drawn on frames, not on planes through a volume",
                field=option,
                remedy=f"Leave out {option} or --plane.",
            )
    with cancel_on_interrupt() as cancel, progress_on_stderr("Reading the volume") as progress:
        volume = build_volume(source, progress=progress, cancel=cancel)
    plane = Plane(name)
    count = volume.count(plane)
    if number >= count:
        raise UsageError(
            f"there is no {name} plane {number}; there are {count}, counted from 0",
            path=source.info.path,
            field="--frame",
        )
    values = grey(source)
    assert values is not None  # else it were no volume
    height, width = volume.reslice(plane, number).values.shape
    side = None if box is None else fitting_side(width, height, box)
    return plane_frame(values, volume, plane, number, max_side=side, window=window)


def fitting_side(width: int, height: int, box: tuple[int, int]) -> int:
    """The longer side, in pixels, at which a picture fits into the box."""
    scale = min(box[0] / width, box[1] / height, 1.0)
    return max(1, int(max(width, height) * scale))
