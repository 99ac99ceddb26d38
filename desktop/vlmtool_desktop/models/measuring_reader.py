"""Measures on the frame in view. Runs in the viewer's thread, with the sources that are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.measurement import Measured, MeasurementKind
from vlmtool_desktop.models.frame_reader import FrameReader, Loaded

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.media.measurements import Measurable
    from vlmtool_desktop.canvas.measured_shapes import Points


@dataclass(frozen=True)
class Readings:
    """What lies behind the frame in view.

    on : with values for grey pictures; of others they are read when a region needs them
    stored : the values of the file (h, w), None where they are what is shown
    """

    loaded: Loaded
    on: Measurable
    stored: np.ndarray | None = None


@dataclass(frozen=True)
class Answer:
    """What a shape came to, or why it came to nothing; `on` can be used again."""

    on: Measurable
    result: Measured | None
    refusal: str = ""


def read(reader: FrameReader, loaded: Loaded) -> Readings:
    """Spacing, place and stored values of a frame.

    Raises
    ------
    MediaError : it cannot be read
    """
    from vlmtool_core.media import grey
    from vlmtool_core.media.measurements import measurable

    source = reader.opened(loaded.ref)
    behind = grey(source) if loaded.values is not None else None
    if behind is None:
        return Readings(loaded, measurable(source, loaded.index, values=False))
    on = measurable(source, loaded.index, known=loaded.values)
    return Readings(loaded, on, behind.stored_values(loaded.index))


def measure_on(
    reader: FrameReader,
    loaded: Loaded,
    on: Measurable | None,
    kind: MeasurementKind,
    points: Points,
) -> Answer:
    """What a shape comes to on a frame; `on` saves reading it again.

    Raises
    ------
    MediaError : the frame cannot be read
    """
    from vlmtool_core.media.measurements import measurable

    if on is None or (kind.is_region and on.values is None):
        source = reader.opened(loaded.ref)
        around = points if kind.is_region else None
        on = measurable(
            source, loaded.index, values=kind.is_region, known=loaded.values, around=around
        )
    return answer(on, kind, points)


def answer(on: Measurable, kind: MeasurementKind, points: Points) -> Answer:
    from vlmtool_core.media.measurements import measure

    try:
        return Answer(on, measure(kind, points, on))
    except ValueError as error:
        return Answer(on, None, str(error))
