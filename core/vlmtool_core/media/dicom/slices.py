"""What ordering and splitting need of one DICOM file, read without its pixels."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.media.dicom.header import number, numbers, read_header, require_pixels, text
from vlmtool_core.media.dicom.skim import PRIVATE_ELEMENTS, SkimmedHeader, skim

# Modalities whose single-frame files are slices of a volume even without positions.
SLICED = frozenset({"CT", "MR", "PT", "NM"})

PLACE_TOLERANCE_MM = 0.01  # pictures closer than this lie at one place

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Slice:
    """What ordering and splitting need of one file; lengths in mm, in the patient's LPS system.

    uid : SOP Instance UID; size : (columns, rows)
    axes : direction cosines of row and column (6 numbers), empty when unknown
    corner : centre of the first pixel (3 numbers), empty when unknown
    pixel_spacing : between rows and between columns, empty when unknown
    traits : what slices of one stack have in common, by the keys of `splitting.TRAITS`
    moments : what tells pictures of one place apart, by the keys of `splitting.MOMENTS`
    """

    path: Path
    uid: str
    series: str
    modality: str
    size: tuple[int, int]
    frame_count: int
    axes: Vector
    corner: Vector
    pixel_spacing: Vector
    thickness: float | None
    instance: float
    traits: Mapping[str, Hashable] = field(default_factory=dict)
    moments: Mapping[str, Hashable] = field(default_factory=dict)

    @property
    def normal(self) -> np.ndarray | None:
        """Unit vector across the picture; None when row and column do not span a plane."""
        return None if not self.axes else plane_normal(self.axes)

    @property
    def stackable(self) -> bool:
        placed = (self.corner and self.normal is not None) or self.modality in SLICED
        return bool(placed and self.series and self.frame_count == 1)


@lru_cache(maxsize=256)
def plane_normal(axes: Vector) -> np.ndarray | None:
    """Row cross column, normalised; None where they are parallel."""
    normal = np.cross(axes[:3], axes[3:])
    length = float(np.linalg.norm(normal))
    return None if length < 1e-6 else normal / length


def common_normal(slices: Sequence[Slice]) -> np.ndarray | None:
    """Mean normal of slices that are about parallel; None where one has no orientation."""
    found = [item.normal for item in sorted(slices, key=lambda item: (item.axes, item.corner))]
    normals = [normal for normal in found if normal is not None]
    if len(normals) < len(found) or not normals:
        return None
    mean = np.mean(normals, axis=0)
    length = float(np.linalg.norm(mean))
    return None if length < 1e-6 else mean / length


def positions_of(slices: Sequence[Slice]) -> np.ndarray | None:
    """Where the slices lie along their common normal, float64 (n,) in mm; None when unknown."""
    normal = common_normal(slices)
    if normal is None or not all(item.corner for item in slices):
        return None
    return np.array([item.corner for item in slices]) @ normal


def places_of(slices: Sequence[Slice]) -> Mapping[Path, int] | None:
    """Counts the places that slices lie at, from the lowest; None when one has no position."""
    positions = positions_of(slices)
    if positions is None:
        return None
    order = np.argsort(positions, kind="stable")
    steps = np.diff(positions[order], prepend=positions[order[0]]) >= PLACE_TOLERANCE_MM
    ranks = np.cumsum(steps)
    return {slices[int(index)].path: int(rank) for index, rank in zip(order, ranks, strict=True)}


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
    """The slice that a data set, or a skimmed one, describes."""
    from vlmtool_core.media.dicom.splitting import MOMENTS, TRAITS

    modality = text(dataset, "Modality").upper()
    return Slice(
        path,
        text(dataset, "SOPInstanceUID"),
        text(dataset, "SeriesInstanceUID"),
        modality,
        (int(number(dataset, "Columns") or 0), int(number(dataset, "Rows") or 0)),
        int(number(dataset, "NumberOfFrames") or 1),
        _vector(dataset, "ImageOrientationPatient", 6),
        _vector(dataset, "ImagePositionPatient", 3),
        _vector(dataset, "PixelSpacing", 2),
        number(dataset, "SliceThickness"),
        number(dataset, "InstanceNumber") or 0.0,
        {t.key: t.read(dataset) for t in TRAITS if t.concerns(modality)},
        {m.key: m.read(dataset) for m in MOMENTS if m.concerns(modality)},
    )


def _vector(dataset: Any, keyword: str, length: int) -> Vector:
    values = numbers(dataset, keyword)
    return tuple(values) if len(values) == length and np.isfinite(values).all() else ()


def b_value(dataset: Any) -> float | None:
    """Diffusion weighting in s/mm²: the standard element, else the vendor's own (PS3.3 C.8.13.5.9).

    A private element counts only under the name of its creator.
    """
    stated = number(dataset, "DiffusionBValue")
    if stated is not None:
        return stated
    for creator_tag, tag, creator in PRIVATE_ELEMENTS:
        if _private(dataset, creator_tag).strip(b" \0").decode("ascii", "replace") == creator:
            value = _first_number(_private(dataset, tag))
            if value is not None:
                # GE adds 10^9 to mark values that were set by hand.
                return value % 100_000 if value >= 1e9 else value
    return None


def _private(dataset: Any, tag: int) -> bytes:
    """An element's value as it is coded, empty when it is not there."""
    if isinstance(dataset, SkimmedHeader):
        return dataset.private.get(tag, b"")
    if tag not in dataset:
        return b""
    value = dataset.get_item(tag).value
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return struct.pack("<f", value)
    several = isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue"
    return "\\".join(map(str, value if several else [value])).encode("ascii", "replace")


def _first_number(raw: bytes) -> float | None:
    """Decimal text, or one binary float of 4 bytes."""
    try:
        value = float(raw.split(b"\\")[0].strip(b" \0"))
    except ValueError:
        if len(raw) != 4:
            return None
        value = struct.unpack("<f", raw)[0]
    return value if np.isfinite(value) and value >= 0 else None
