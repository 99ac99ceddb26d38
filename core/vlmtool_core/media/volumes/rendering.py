"""Shows a plane through a volume, and says in numbers where a picture lies in the patient."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.base import GreySource, MediaSource, Window, grey
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.pixels import rgb, shrink
from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.building import grid_of, why_no_volume
from vlmtool_core.media.volumes.letters import EdgeLetters
from vlmtool_core.media.volumes.volume import Reslice, Volume
from vlmtool_core.records import Frame, Json


def default_window(source: GreySource) -> Window:
    """The first window of the file, else the one that its values suggest."""
    windows = source.info.windows
    return windows[0] if windows else source.auto_window()


def grey_picture(found: Reslice, window: Window, *, inverted: bool) -> np.ndarray:
    """uint8 (h, w) of a plane; padding is black."""
    shown = voi.apply_window(found.values.filled(0), window)
    return voi.finish(shown, found.values, inverted=inverted)


def plane_frame(
    source: GreySource,
    volume: Volume,
    plane: Plane,
    number: int,
    *,
    max_side: int | None = None,
    window: Window | None = None,
) -> Frame:
    """Plane `number` as a picture with square pixels.

    Raises
    ------
    IndexError : there is no such plane
    MediaError : the values that suggest a window cannot be decoded
    """
    found = volume.reslice(plane, number)
    chosen = window or default_window(source)
    first = volume.frames[0] if volume.frames else 0
    grey_values = grey_picture(found, chosen, inverted=source.is_inverted(first))
    shown = shrink(rgb(grey_values), max_side)
    letters = volume.letters(found.geometry)
    provenance: dict[str, Json] = {
        "plane": plane.value,
        "number": number,
        "position_mm": list(found.geometry.position),
        "pixel_spacing_mm": list(found.geometry.spacing),
        "letters": None if letters is None else asdict(letters),
        "voi": {
            "function": chosen.function,
            "center": chosen.center,
            "width": chosen.width,
            "explanation": chosen.explanation,
        },
    }
    height, width = grey_values.shape
    return Frame(shown, number, None, provenance, (width, height))


def placement_facts(source: MediaSource) -> dict[str, Json]:
    """Where the first frame lies in the patient, and the grid of its volume; empty if unknown.

    Raises
    ------
    MediaError : a header cannot be read
    """
    facts: dict[str, Json] = {}
    told = getattr(source, "letters", None)
    letters: EdgeLetters | None = None if told is None else told(0)
    if letters is not None:
        facts["letters"] = asdict(letters)
    values = grey(source)
    plane = None if values is None else values.geometry(0)
    if plane is not None:
        facts["position_mm"] = list(plane.position)
        facts["row"], facts["column"] = list(plane.row), list(plane.column)
    if why_no_volume(source.info):
        return facts
    try:
        affine = grid_of(source).affine
    except UnsupportedMediaError as error:
        facts["no_planes"] = error.message
    else:
        facts["affine_lps_mm"] = affine.tolist()
    return facts
