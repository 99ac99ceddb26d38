"""Shows frames as a presentation state asks for it (PS3.4 N.2): modality, VOI, presentation."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace

import numpy as np

from vlmtool_core.media.base import Window
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.dicom.bits import is_signed
from vlmtool_core.media.dicom.header import read_header, text
from vlmtool_core.media.dicom.pipeline import Pipeline
from vlmtool_core.media.dicom.presentation_graphics import Area, Drawn, Placement, laid_over
from vlmtool_core.media.dicom.presentation_state import PresentationState
from vlmtool_core.media.dicom.shutters import Covered, covered, shutter_of
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.records import Frame, Json


@dataclass(frozen=True)
class Presented:
    """A frame as a presentation state asks for it.

    frame : oriented as it is stored; drawn : what lies over it, the lowest layer first
    covered : what the state's shutter covers; rotation : degrees clockwise, before mirroring
    is_meant : whether the state names this frame
    window : that it is shown through, None in colour; orientation : the turning in words
    notes : what is not shown as asked for
    """

    frame: Frame
    drawn: tuple[Drawn, ...] = ()
    covered: Covered | None = None
    rotation: int = 0
    flipped: bool = False
    is_meant: bool = True
    window: Window | None = None
    orientation: str = ""
    notes: tuple[str, ...] = ()


def instance_of(pipeline: Pipeline) -> str:
    """The SOP Instance UID of an object."""
    return text(pipeline.header.dataset, "SOPInstanceUID")


def presented_pixels(
    pipeline: Pipeline,
    frame: int,
    state: PresentationState,
    window: Window | None,
    provenance: MutableMapping[str, Json],
) -> tuple[np.ndarray, Window | None]:
    """uint8 (h, w) and its window; or (h, w, 3) of a picture in colour, which keeps its colours.

    Raises
    ------
    MediaError
    """
    if pipeline.is_colour:
        provenance["presentation_state"] = state.path.name
        return pipeline.colour(frame, provenance), None
    return _presented_grey(pipeline, frame, state, window, provenance)


def _presented_grey(
    pipeline: Pipeline,
    frame: int,
    state: PresentationState,
    window: Window | None,
    provenance: MutableMapping[str, Json],
) -> tuple[np.ndarray, Window]:
    """uint8 (h, w); the object's own photometric interpretation is left aside (PS3.4 N.2.1.4)."""
    values = modality_values(pipeline, frame, state)
    chosen = (
        window or state.window(instance_of(pipeline), frame + 1) or _whole_range(pipeline, state)
    )
    provenance["modality"] = state.modality.to_json()
    provenance["voi"] = {
        "function": chosen.function,
        "center": chosen.center,
        "width": chosen.width,
        "explanation": chosen.explanation,
    }
    provenance["inverted"] = state.inverted
    provenance["presentation_state"] = state.path.name
    with decoding(pipeline.header.path):
        shown = voi.render_window(
            values, chosen, inverted=state.inverted, presentation=state.presentation
        )
    return shown, chosen


def modality_values(pipeline: Pipeline, frame: int, state: PresentationState) -> np.ma.MaskedArray:
    """Masked float32 (h, w) as the state's Modality LUT makes them; padding as the object says.

    Raises
    ------
    MediaError
    """
    own = pipeline.values(frame)
    asked = replace(state.modality, padding=None)
    with decoding(pipeline.header.path):
        values = asked.modality_values(pipeline.stored(frame))
    return np.ma.MaskedArray(values.data, mask=np.ma.getmask(own))


def _whole_range(pipeline: Pipeline, state: PresentationState) -> Window:
    """Without a VOI LUT, all that the stored bits can hold goes from black to white."""
    bits, signed = pipeline.reader.bits_stored, is_signed(pipeline.header.dataset)
    low = -(2 ** (bits - 1)) if signed else 0
    ends = np.array([[low, low + 2**bits - 1]], np.int64)
    first, last = (float(end) for end in state.modality.modality_values(ends).data[0])
    lowest, width = min(first, last), abs(last - first) or 1.0
    return Window(lowest + width / 2, width, "whole range", voi.LINEAR_EXACT)


def covered_by_own(pipeline: Pipeline, frame: int) -> Covered | None:
    """What the object's own shutter covers of a frame; None without one.

    Raises
    ------
    DamagedMediaError : the shutter is broken; names what it lacks
    """
    with decoding(pipeline.header.path):
        shutter = shutter_of(pipeline.header.dataset, frame)
        if shutter is None:
            return None
        reader = pipeline.reader
        size = (reader.rows, reader.columns)
        aspect = _aspect(pipeline, frame)
        return covered(pipeline.header, shutter, frame, size, aspect=aspect)


def covered_by_state(pipeline: Pipeline, frame: int, state: PresentationState) -> Covered | None:
    """What a state covers of a frame; the shutter of the object itself is then left aside.

    Raises
    ------
    DamagedMediaError : the bitmap that covers it is missing or broken
    """
    if state.shutter is None:
        return None
    header = read_header(state.path) if state.shutter.overlay else pipeline.header
    size = (pipeline.reader.rows, pipeline.reader.columns)
    return covered(header, state.shutter, frame, size, aspect=_aspect(pipeline, frame))


def _aspect(pipeline: Pipeline, frame: int) -> float:
    spacing = pixel_spacing(pipeline.header.dataset, frame)
    return spacing.row_mm / spacing.column_mm if spacing is not None else 1.0


def drawn_by_state(pipeline: Pipeline, frame: int, state: PresentationState) -> tuple[Drawn, ...]:
    """Graphics and texts of a state over a frame, the lowest layer first."""
    instance = instance_of(pipeline)
    whole = Area(0.0, 0.0, float(pipeline.reader.columns), float(pipeline.reader.rows))
    area = state.area(instance, frame + 1) or whole
    placement = Placement(area, state.rotation, state.flipped)
    return tuple(
        laid_over(annotation, placement) for annotation in state.graphics(instance, frame + 1)
    )
