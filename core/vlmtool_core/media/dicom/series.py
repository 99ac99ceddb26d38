"""Groups DICOM files to series and orders slices by their position along the normal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.media.dicom.header import number, numbers, read_header, require_pixels, text
from vlmtool_core.media.dicom.skim import skim
from vlmtool_core.records import natural_key

# Modalities whose single-frame files are slices of a volume even without positions.
SLICED = frozenset({"CT", "MR", "PT", "NM"})
SPACING_TOLERANCE_MM = 0.01
_ORIENTATION_DIGITS = 3


@dataclass(frozen=True)
class Slice:
    """What ordering needs of one file. position : mm along the normal, None when unknown."""

    path: Path
    series: str
    modality: str
    size: tuple[int, int]
    frame_count: int
    orientation: tuple[float, ...]
    position: float | None
    instance: float
    time_index: float

    @property
    def key(self) -> tuple[object, ...]:
        """Slices of equal key make up one stack."""
        return self.series, self.modality, self.size, self.orientation

    @property
    def stackable(self) -> bool:
        placed = self.position is not None or self.modality in SLICED
        return bool(self.series) and self.frame_count == 1 and placed


def read_slice(path: Path) -> Slice:
    """Read what ordering needs from a file's header.

    Raises
    ------
    MediaError : it is damaged or holds no picture
    """
    quick = skimmed_slice(path)
    if quick is not None:
        return quick
    header = read_header(path)
    require_pixels(header)
    return slice_of(path, header.dataset)


def skimmed_slice(path: Path) -> Slice | None:
    """The same without reading the whole header; None where that is not to be trusted."""
    try:
        found = skim(path)
    except OSError:
        return None  # the full reader says why
    return None if found is None else slice_of(path, found)


def slice_of(path: Path, dataset: Any) -> Slice:
    orientation, position = _geometry(dataset)
    return Slice(
        path,
        text(dataset, "SeriesInstanceUID"),
        text(dataset, "Modality").upper(),
        (int(number(dataset, "Columns") or 0), int(number(dataset, "Rows") or 0)),
        int(number(dataset, "NumberOfFrames") or 1),
        orientation,
        position,
        number(dataset, "InstanceNumber") or 0.0,
        number(dataset, "TemporalPositionIdentifier")
        or number(dataset, "AcquisitionNumber")
        or 0.0,
    )


def _geometry(dataset: Any) -> tuple[tuple[float, ...], float | None]:
    """Rounded orientation, and the position projected on the normal of row and column."""
    axes = numbers(dataset, "ImageOrientationPatient")
    corner = numbers(dataset, "ImagePositionPatient")
    if len(axes) != 6 or not np.isfinite(axes).all():
        return (), None
    orientation = tuple(round(value, _ORIENTATION_DIGITS) + 0.0 for value in axes)
    normal = np.cross(axes[:3], axes[3:])
    length = float(np.linalg.norm(normal))
    if len(corner) != 3 or length < 1e-6:
        return orientation, None
    return orientation, float(np.dot(normal / length, corner))


def stacks(slices: Iterable[Slice]) -> list[tuple[Slice, ...]]:
    """Stacks in order of their first file's name; what is no slice stands alone."""
    groups: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for item in slices:
        groups[item.key if item.stackable else ("alone", item.path)].append(item)
    ordered = [order(group) for group in groups.values()]
    return sorted(ordered, key=lambda group: min(natural_key(str(item.path)) for item in group))


def order(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """By position along the normal; by instance number where a position is missing."""
    placed = all(item.position is not None for item in slices)

    def key(item: Slice) -> tuple[object, ...]:
        place = round(item.position or 0.0, 4) if placed else 0.0
        return place, item.time_index, item.instance, natural_key(item.path.name)

    return tuple(sorted(slices, key=key))


def geometry_of(slices: Sequence[Slice]) -> tuple[float | None, tuple[str, ...]]:
    """Distance between neighbouring slices in mm (None when unknown), and what is wrong."""
    if len(slices) < 2:
        return None, ()
    notes = []
    if len({item.key for item in slices}) > 1:
        notes.append("the slices differ in series, size or orientation")
    positions = [item.position for item in slices]
    if any(position is None for position in positions):
        notes.append("slices without a position; they are in order of their instance number")
        return None, tuple(notes)
    gaps = np.abs(np.diff(np.array(positions, dtype=np.float64)))
    duplicates = int((gaps < SPACING_TOLERANCE_MM).sum())
    if duplicates:
        notes.append(f"{duplicates} slices share the position of another one")
    spread = gaps[gaps >= SPACING_TOLERANCE_MM]
    if spread.size == 0:
        return None, tuple(notes)
    spacing = float(np.median(spread))
    notes.extend(_gap_notes(spread, spacing))
    return spacing, tuple(notes)


def _gap_notes(gaps: np.ndarray, spacing: float) -> list[str]:
    missing = int(np.maximum(np.rint(gaps / spacing) - 1, 0).sum())
    whole = np.abs(gaps - np.rint(gaps / spacing) * spacing) <= 0.1 * spacing
    if missing and whole.all():
        return [f"{missing} slices are missing (spacing {spacing:g} mm)"]
    if np.abs(gaps - spacing).max() > SPACING_TOLERANCE_MM:
        low, high = gaps.min(), gaps.max()
        return [f"uneven slice spacing: {low:.3g} to {high:.3g} mm"]
    return []
