"""Frames as a presentation state asks for them. Used in the viewer's thread only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_desktop.canvas.picture import make_picture

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.media import MediaSource, Window
    from vlmtool_core.media.dicom.presentation_state import StateReference
    from vlmtool_core.media.drawing import Drawing
    from vlmtool_desktop.models.frame_reader import Loaded


@dataclass(frozen=True)
class StatesBeside:
    """What can be chosen for an item. chosen : the state it is shown by, None without one."""

    states: tuple[StateReference, ...] = ()
    chosen: Path | None = None


def states_beside(source: Any, loaded: Loaded) -> StatesBeside:
    """The presentation states in the folder of an item that are for its pictures.

    Raises
    ------
    MediaError
    """
    ask = getattr(source, "presentations", None)
    found: Sequence[StateReference] = () if ask is None else ask()
    return StatesBeside(tuple(found), loaded.state)


def presented(loaded: Loaded, source: MediaSource, state: Path) -> Loaded:
    """A frame as the state asks for it; as its file shows it where the state is not for it.

    Raises
    ------
    MediaError : the state is gone or broken
    """
    from vlmtool_core.media.drawing import covering

    ask: Any = source
    shown = ask.presented(loaded.index, state, max_side=_longest(loaded))
    if not shown.is_meant:
        note = "the presentation state that was chosen is not for this frame"
        return replace(loaded, notes=(*loaded.notes, note))
    picture = make_picture(shown.frame.pixels, shown.frame.size, loaded.picture.aspect)
    graphics: Drawing | None = None
    drawn = None
    if shown.covered is not None:
        graphics = covering(shown.covered, shown.frame.pixels.shape)
        painted = graphics.painted(shown.frame.pixels)
        drawn = make_picture(painted, shown.frame.size, loaded.picture.aspect)
    notes = [f"the presentation state: {note}" for note in shown.notes]
    if shown.orientation:
        notes.append(f"the presentation state has it {shown.orientation}; shown here as stored")
    return replace(
        loaded,
        picture=picture,
        window=shown.window,
        graphics=graphics,
        drawn=drawn,
        state=state,
        marks=shown.drawn,
        notes=(*loaded.notes, *notes),
    )


def presented_pixels(source: Any, loaded: Loaded, window: Window) -> np.ndarray:
    """uint8 (h, w, 3) of a frame that is shown by a state, through another window.

    Raises
    ------
    MediaError
    """
    shown = source.presented(loaded.index, loaded.state, window=window, max_side=_longest(loaded))
    pixels: np.ndarray = shown.frame.pixels
    return pixels


def _longest(loaded: Loaded) -> int:
    """The longer side of what is on the screen now, in pixels."""
    return max(max(level.width(), level.height()) for level in loaded.picture.levels)
