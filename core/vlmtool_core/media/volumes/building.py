"""Builds a `Volume` from a series, a multi-frame object or a NIfTI file, or says why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.media.base import GreySource, MediaInfo, MediaSource, PlaneGeometry, grey
from vlmtool_core.media.budget import check_memory
from vlmtool_core.media.volumes.letters import BIPED
from vlmtool_core.media.volumes.planes import normal
from vlmtool_core.media.volumes.volume import PADDING, Volume
from vlmtool_core.records import MediaKind

# Positions are rounded in headers: so much of a spacing, and in mm, is no unevenness.
SPACING_SHARE = 0.01
SPACING_MM = 0.01
TILT_DEGREES = 0.1
ORIENTATION = 1e-3

_REMEDY = "Look at its frames one by one."


@dataclass(frozen=True, eq=False)
class Grid:
    """Frames along the normal of their planes, and where they lie; see `Volume`."""

    frames: tuple[int, ...]
    affine: np.ndarray
    frame_of_reference: str


def why_no_volume(info: MediaInfo) -> str:
    """Why an item cannot be a volume, as far as that can be said before its positions are read;
    "" when it may be one."""
    if info.kind not in (MediaKind.DICOM, MediaKind.VOLUME):
        return "it is neither a DICOM series nor a volume"
    if not info.has_values:
        return "its pixels are colours, not values"
    if _in_volume(info) < 2:
        return "it has a single slice"
    return ""


def volume_frames(info: MediaInfo, frame: int = 0) -> range:
    """The frames that make up the volume which `frame` belongs to."""
    count = _in_volume(info)
    first = frame // count * count
    return range(first, first + count)


def build_volume(
    source: MediaSource,
    frame: int = 0,
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Volume:
    """Read the volume that `frame` belongs to into memory.

    Raises
    ------
    UnsupportedMediaError : its frames do not lie on a regular grid; the message says what is wrong
    BudgetExceededError : it does not fit into memory
    MediaError : a frame cannot be decoded
    CancelledError
    """
    cancel = cancel or CancelToken()
    values, info = _values(source), source.info
    frames = volume_frames(info, frame)
    meter = ProgressMeter(progress, 2 * len(frames))
    grid = _grid_of(values, frames, meter, cancel)
    # Two copies for a moment, when it turns out that int16 does not do.
    check_memory(info.path, len(frames) * info.width * info.height * 6)
    stack = _read(values, grid.frames, meter, cancel)
    meter.flush()
    told = getattr(source, "axis_ends", None)
    ends = BIPED if told is None else told()
    volume = Volume(stack, grid.affine, info.unit, grid.frames, ends)
    reference = grid.frame_of_reference
    return replace(volume, frame_of_reference=reference) if reference else volume


def grid_of(source: MediaSource, frame: int = 0, *, cancel: CancelToken | None = None) -> Grid:
    """Where the voxels of the volume that `frame` belongs to lie; no values are read.

    Raises
    ------
    UnsupportedMediaError, MediaError, CancelledError : as `build_volume`
    """
    values, frames = _values(source), volume_frames(source.info, frame)
    meter = ProgressMeter(no_progress, len(frames))
    return _grid_of(values, frames, meter, cancel or CancelToken())


def _values(source: MediaSource) -> GreySource:
    values, reason = grey(source), why_no_volume(source.info)
    if values is None or reason:
        raise _refused(source.info.path, reason or "it has no values")
    return values


def _grid_of(
    source: GreySource, frames: Sequence[int], meter: ProgressMeter, cancel: CancelToken
) -> Grid:
    planes: list[PlaneGeometry] = []
    for index in frames:
        cancel.check()
        plane = source.geometry(index)
        if plane is None:
            raise _refused(source.info.path, _unplaced(source.info, index))
        planes.append(plane)
        meter.step()
    return _arranged(planes, frames, source.info.path)


def _in_volume(info: MediaInfo) -> int:
    """Frames of one volume: a NIfTI file may hold several behind each other."""
    count = info.frame_count or 1
    volumes = info.facts.get("volumes")
    if info.kind is MediaKind.VOLUME and isinstance(volumes, int) and volumes > 0:
        return count // volumes
    return count


def _refused(path: Path, reason: str) -> UnsupportedMediaError:
    return UnsupportedMediaError(
        f"no planes can be laid through it: {reason}", path=path, remedy=_REMEDY
    )


def _unplaced(info: MediaInfo, index: int) -> str:
    if info.kind is MediaKind.VOLUME:
        return "the file does not say how it lies in the patient"
    return (
        f"frame {index + 1} does not state position, orientation and pixel spacing "
        "(ImagePositionPatient, ImageOrientationPatient, PixelSpacing)"
    )


def _arranged(planes: Sequence[PlaneGeometry], frames: Sequence[int], path: Path) -> Grid:
    first = planes[0]
    for plane in planes[1:]:
        _check_alike(first, plane, path)
    positions = np.array([plane.position for plane in planes])
    # Where rows and columns make a left-handed grid, the frames still go on in their order.
    along = positions @ normal(first)
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    _check_gaps(gaps, path)
    start, end = positions[order[0]], positions[order[-1]]
    step = (end - start) / (len(planes) - 1)
    _check_tilt(step, first, path)
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.row) * first.spacing[1]
    affine[:3, 1] = np.array(first.column) * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = start
    ordered = tuple(frames[place] for place in order)
    return Grid(ordered, affine, first.frame_of_reference)


def _check_alike(first: PlaneGeometry, plane: PlaneGeometry, path: Path) -> None:
    turned = max(
        float(np.abs(np.subtract(a, b)).max())
        for a, b in ((first.row, plane.row), (first.column, plane.column))
    )
    if turned > ORIENTATION:
        raise _refused(path, "the slices are turned against each other")
    if not np.allclose(first.spacing, plane.spacing, rtol=1e-3, atol=0):
        raise _refused(path, "the slices differ in pixel spacing")
    if first.frame_of_reference != plane.frame_of_reference:
        raise _refused(path, "the slices differ in FrameOfReferenceUID")


def _check_gaps(gaps: np.ndarray, path: Path) -> None:
    same = int((gaps < SPACING_MM).sum())
    if same:
        raise _refused(
            path,
            f"{same} slices share the position of another one (several echoes, phases or times)",
        )
    middle = float(np.median(gaps))
    allowed = max(SPACING_MM, SPACING_SHARE * middle)
    if float(np.abs(gaps - middle).max()) <= allowed:
        return
    missing = int(np.maximum(np.rint(gaps / middle) - 1, 0).sum())
    whole = np.abs(gaps - np.rint(gaps / middle) * middle) <= allowed
    if missing and whole.all():
        raise _refused(path, f"{missing} slices are missing (spacing {middle:.4g} mm)")
    raise _refused(path, f"uneven slice spacing: {gaps.min():.4g} to {gaps.max():.4g} mm")


def _check_tilt(step: np.ndarray, plane: PlaneGeometry, path: Path) -> None:
    cosine = float(np.dot(step / np.linalg.norm(step), normal(plane)))
    angle = float(np.degrees(np.arccos(min(1.0, abs(cosine)))))
    if angle > TILT_DEGREES:
        raise _refused(
            path, f"the slices are stacked at a slant of {angle:.1f} degrees (gantry tilt or shear)"
        )
    across = abs(float(np.dot(plane.row, plane.column)))
    if across > ORIENTATION:
        raise _refused(path, "rows and columns are not at right angles")


def _read(
    source: GreySource, frames: Sequence[int], meter: ProgressMeter, cancel: CancelToken
) -> np.ndarray:
    """int16 (k, j, i) as long as every value fits into it, else float32."""
    stack = np.zeros((0, 0, 0), np.int16)
    for place, frame in enumerate(frames):
        cancel.check()
        values = source.modality_values(frame)
        if place == 0:
            stack = np.empty((len(frames), *values.shape), np.int16)
        if values.shape != stack.shape[1:]:
            raise _refused(source.info.path, "the slices differ in size")
        if stack.dtype == np.int16:
            whole = _as_int16(values)
            if whole is not None:
                stack[place] = whole
                meter.step()
                continue
            stack = _as_float(stack)
        stack[place] = values.filled(np.nan)
        meter.step()
    return stack


def _as_int16(values: np.ma.MaskedArray) -> np.ndarray | None:
    """The values, `PADDING` where masked; None when one of them does not fit."""
    plain = values.filled(0)
    low, high = float(plain.min()), float(plain.max())
    if not (low > PADDING and high <= np.iinfo(np.int16).max):
        return None
    whole = plain.astype(np.int16)
    if not np.array_equal(whole, plain):
        return None
    mask = np.ma.getmaskarray(values)
    whole[mask] = PADDING
    return whole


def _as_float(stack: np.ndarray) -> np.ndarray:
    found = stack.astype(np.float32)
    found[stack == PADDING] = np.nan
    return found
