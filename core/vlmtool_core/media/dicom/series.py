"""Orders the slices of a stack by their position, and says what is wrong with their geometry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vlmtool_core.media.dicom.slices import (
    PLACE_TOLERANCE_MM,
    Slice,
    common_normal,
    positions_of,
)
from vlmtool_core.records import natural_key

SPACING_TOLERANCE_MM = 0.01
LEAST_TILT_DEGREES = 0.1
LEAST_TURN_DEGREES = 0.1
_MOST_NAMED = 5


def order(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """By position along the common normal, then by moment and instance number.

    Where a position is missing, by instance number alone. Neither the names of the files nor
    their order play a part unless two objects have the same UID.
    """
    positions = positions_of(slices)
    places = [0.0] * len(slices) if positions is None else positions.round(4).tolist()

    def key(pair: tuple[float, Slice]) -> tuple[object, ...]:
        place, item = pair
        moments = item.moments
        times = [moments.get(name) or 0.0 for name in ("time", "phase", "trigger", "acquisition")]
        return place, times, item.instance, item.uid, natural_key(item.path.name)

    return tuple(item for _, item in sorted(zip(places, slices, strict=True), key=key))


def geometry_of(slices: Sequence[Slice]) -> tuple[float | None, tuple[str, ...]]:
    """Distance between neighbouring slices in mm (None when unknown), and what is wrong.

    slices : in their order; the notes count them from 1
    """
    if len(slices) < 2:
        return None, ()
    notes = _mixtures(slices)
    lost = sum(not (item.corner and item.normal is not None) for item in slices)
    if lost:
        notes.append(
            f"{lost} of {len(slices)} slices without a position; "
            "they are in order of their instance number"
        )
        return None, tuple(notes)
    positions = positions_of(slices)
    if positions is None:  # the normals cancel each other out
        return None, tuple(notes)
    gaps = np.abs(np.diff(positions))
    wide = gaps >= PLACE_TOLERANCE_MM
    notes += _duplicates(positions, wide)
    if not wide.any():
        return None, tuple(notes)
    spacing = float(np.median(gaps[wide]))
    notes += _gaps(positions, gaps, wide, spacing)
    notes += _tilt(slices)
    return spacing, tuple(notes)


def _mixtures(slices: Sequence[Slice]) -> list[str]:
    """What differs although slices of one stack should agree in it."""
    notes = []
    if len({(item.series, item.modality) for item in slices}) > 1:
        notes.append("the slices are of different series")
    sizes = sorted({item.size for item in slices})
    if len(sizes) > 1:
        notes.append(f"mixed size: {_list(f'{w} x {h}' for w, h in sizes)} pixels")
    notes += _turned(slices)
    spacings = sorted({item.pixel_spacing for item in slices})
    if len(spacings) > 1 and np.ptp([s or (0.0, 0.0) for s in spacings], axis=0).max() > 1e-4:
        shown = (f"{s[0]:.4g} x {s[1]:.4g}" if s else "unknown" for s in spacings)
        notes.append(f"mixed pixel spacing: {_list(shown)} mm")
    thick = sorted({item.thickness for item in slices if item.thickness is not None})
    if thick and thick[-1] - thick[0] > SPACING_TOLERANCE_MM:
        notes.append(f"mixed slice thickness: {_list(f'{value:g}' for value in thick)} mm")
    return notes


def _turned(slices: Sequence[Slice]) -> list[str]:
    """Slices whose axes differ from those of most others."""
    known = [np.array(item.axes).reshape(2, 3) for item in slices if item.axes]
    if len(known) < 2:
        return []
    middle = np.median(known, axis=0)
    turns = [float(np.degrees(2 * np.arcsin(_half_chord(axes, middle)))) for axes in known]
    count = sum(turn > LEAST_TURN_DEGREES for turn in turns)
    if not count:
        return []
    return [
        f"mixed orientation: {count} of {len(slices)} slices are turned by up to {max(turns):.3g}°"
    ]


def _half_chord(axes: np.ndarray, middle: np.ndarray) -> float:
    return min(1.0, float(np.linalg.norm(axes - middle, axis=1).max()) / 2)


def _duplicates(positions: np.ndarray, wide: np.ndarray) -> list[str]:
    count = int((~wide).sum())
    if not count:
        return []
    if not wide.any():
        return [f"all {len(positions)} slices lie at one place: a loop over time, not a volume"]
    at = positions[1:][~wide]
    noun = "1 slice shares" if count == 1 else f"{count} slices share"
    return [f"{noun} the position of another one (at {_list(_mm(at))} mm)"]


def _gaps(positions: np.ndarray, gaps: np.ndarray, wide: np.ndarray, spacing: float) -> list[str]:
    spread = gaps[wide]
    steps = np.rint(spread / spacing)
    missing = int(np.maximum(steps - 1, 0).sum())
    whole = np.abs(spread - steps * spacing) <= 0.1 * spacing
    if missing and whole.all():
        at = np.flatnonzero(wide)[steps > 1]
        where = _list(
            f"{positions[i]:g} and {positions[i + 1]:g} mm (after slice {i + 1})" for i in at
        )
        noun = "1 slice is" if missing == 1 else f"{missing} slices are"
        return [f"{noun} missing (spacing {spacing:g} mm): between {where}"]
    if np.abs(spread - spacing).max() > SPACING_TOLERANCE_MM:
        widest = int(np.argmax(gaps))
        low, high = spread.min(), spread.max()
        return [
            f"uneven slice spacing: {low:.3g} to {high:.3g} mm, "
            f"most of it {spacing:.3g} mm; widest after slice {widest + 1}"
        ]
    return []


def _tilt(slices: Sequence[Slice]) -> list[str]:
    """Slices that are shifted against each other, as those of a tilted gantry are."""
    normal = common_normal(slices)
    if normal is None:
        return []
    corners = np.array([item.corner for item in slices])
    path = corners[-1] - corners[0]
    along = float(path @ normal)
    across = float(np.linalg.norm(path - along * normal))
    angle = float(np.degrees(np.arctan2(across, abs(along))))
    if angle <= LEAST_TILT_DEGREES:
        return []
    return [f"the stack leans by {angle:.3g}° (gantry tilt): it is no upright volume"]


def _mm(values: Iterable[float]) -> list[str]:
    return list(dict.fromkeys(f"{value:g}" for value in np.round(list(values), 3)))


def _list(words: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    given = list(words)
    more = f" and {len(given) - _MOST_NAMED} more" if len(given) > _MOST_NAMED else ""
    return ", ".join(given[:_MOST_NAMED]) + more
