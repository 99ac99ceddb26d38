"""NIfTI volumes: slices nearest to the axial plane, from foot to head, volume after volume."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo, PixelSpacing, PlaneGeometry, Window
from vlmtool_core.media.budget import check_memory
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pixels import rgb, shrink
from vlmtool_core.media.safe.life import sign
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.volumes.axes import Layout, Plane, Run, layout, position
from vlmtool_core.media.volumes.letters import EdgeLetters, letters_of_plane
from vlmtool_core.media.volumes.nifti_header import read_nifti_header
from vlmtool_core.records import Frame, Json, MediaKind

# Without a transform nothing is turned: columns are i, rows j, slices k.
_AS_STORED = Layout(Run(0, True), Run(1, True), Run(2, True))
_CHUNK = 1 << 20
_SQUARE = 0.05


class NiftiSource(SourceBase):
    """A .nii, .nii.gz or .hdr/.img pair.

    Frame `t * slices + s` is slice `s` of volume `t`. A slice of an uncompressed file is read
    alone where it lies together in the file; otherwise its volume is, and kept. A compressed
    file is inflated once, and never beyond what its header states.

    Raises
    ------
    MediaError : see `read_nifti_header`
    """

    def __init__(self, path: Path) -> None:
        with decoding(path):
            self._header = read_nifti_header(path)
        affine = self._header.placement.affine
        self._layout = _AS_STORED if affine is None else layout(Plane.AXIAL, affine)
        self._kept: tuple[int, np.ndarray] | None = None
        self._auto: Window | None = None
        self._info = self._describe(path)

    def _describe(self, path: Path) -> MediaInfo:
        header = self._header
        width, height, slices = self._sizes
        count = slices * header.shape[3]
        facts: dict[str, Json] = {**header.facts, "slices": slices}
        return MediaInfo(
            path,
            MediaKind.VOLUME,
            width,
            height,
            count,
            warnings=(*header.notes, *self._aspect_notes()),
            facts=facts,
            identifying=header.identifying,
            windows=header.windows,
            has_values=header.channels == 1,
        )

    def _aspect_notes(self) -> tuple[str, ...]:
        row, column = self._pixel_mm
        if abs(row / column - 1) <= _SQUARE:
            return ()
        return (
            f"pixels of {column:.3g} x {row:.3g} mm are drawn square here; "
            "the three planes have the right shape",
        )

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Width, height and number of slices."""
        runs = (self._layout.right, self._layout.down, self._layout.step)
        width, height, slices = (self._header.shape[run.axis] for run in runs)
        return width, height, slices

    @property
    def _pixel_mm(self) -> tuple[float, float]:
        sizes = self._header.placement.voxel_mm
        return sizes[self._layout.down.axis], sizes[self._layout.right.axis]

    # Values ----------------------------------------------------------------------------------

    def stored_values(self, index: int = 0) -> np.ndarray:
        """Values as the file has them, (h, w), or (h, w, 3 or 4) of a coloured volume.

        Raises
        ------
        MediaError : they cannot be read
        """
        self._check_index(index)
        slices = self._sizes[2]
        with decoding(self.path):
            return self._slice(index // slices, index % slices)

    def modality_values(self, index: int = 0) -> np.ma.MaskedArray:
        """Masked float32 (h, w), scaled by scl_slope and scl_inter; NaN and infinity are masked.

        Raises
        ------
        MediaError : they cannot be read
        ValueError : the volume is in colour
        """
        if self._header.channels > 1:
            raise ValueError(f"{self.path}: a coloured volume has no modality values")
        stored = self.stored_values(index)
        values: Any = stored.astype(np.float64 if stored.dtype.itemsize > 2 else np.float32)
        if (self._header.slope, self._header.inter) != (1.0, 0.0):
            values = values * self._header.slope + self._header.inter
        found: np.ndarray = values.astype(np.float32)
        if stored.dtype.kind == "f" or not np.isfinite(found).all():
            return np.ma.masked_invalid(found, copy=False)
        return np.ma.MaskedArray(found)

    def _slice(self, volume: int, number: int) -> np.ndarray:
        step = self._layout.step
        along = number if step.forward else self._header.shape[step.axis] - 1 - number
        kept = self._kept
        alone = step.axis == 2 and not self._header.compressed
        if alone and (kept is None or kept[0] != volume):
            plane = self._read(self._header.offset, volume, along)
        else:
            plane = np.take(self._volume(volume), along, axis=step.axis)
        # What is left of (i, j, k, channels) is in rising order of the axes.
        if self._layout.down.axis > self._layout.right.axis:
            plane = plane.swapaxes(0, 1)
        rows = slice(None) if self._layout.down.forward else slice(None, None, -1)
        columns = slice(None) if self._layout.right.forward else slice(None, None, -1)
        shown = np.ascontiguousarray(plane[rows, columns])
        return shown.astype(shown.dtype.newbyteorder("="), copy=False)

    def _read(self, offset: int, volume: int, along: int) -> np.ndarray:
        """The slice (i, j) or (i, j, channels) at `along` of k, alone."""
        header = self._header
        across, down, _, _ = header.shape
        size = header.dtype.itemsize * header.channels * across * down
        start = offset + volume * header.volume_bytes + along * size
        with header.data.open("rb") as file:
            file.seek(start)
            return self._grid(_exactly(file.read, size, header.data), (across, down))

    def _volume(self, volume: int) -> np.ndarray:
        """(i, j, k) or (i, j, k, channels) of one volume; the last one is kept."""
        if self._kept is not None and (self._kept[0] == volume or self._header.compressed):
            whole = self._kept[1]
        else:
            whole = self._load(volume)
            self._kept = (volume, whole)
        header = self._header
        first = volume * header.volume_bytes if header.compressed else 0
        return self._grid(whole[first : first + header.volume_bytes], header.shape[:3])

    def _load(self, volume: int) -> np.ndarray:
        """The bytes of a volume; of a compressed file those of all of them."""
        header = self._header
        size = header.data_bytes if header.compressed else header.volume_bytes
        check_memory(self.path, size)
        with header.data.open("rb") as file:
            if header.compressed:
                return _inflate(file.read, header.offset, size, header.data)
            file.seek(header.offset + volume * size)
            return _exactly(file.read, size, header.data)

    def _grid(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        header = self._header
        if header.channels == 1:
            return raw.view(header.dtype).reshape(shape, order="F")
        colours = raw.reshape((header.channels, *shape), order="F")
        return np.moveaxis(colours, 0, -1)

    # What a viewer asks for ------------------------------------------------------------------

    def auto_window(self) -> Window:
        """The window used when there is no cal_min and cal_max: percentiles of three slices."""
        if self._auto is None:
            slices = self._sizes[2]
            chosen = sorted({slices // 4, slices // 2, 3 * slices // 4})
            values = [self.modality_values(number).compressed() for number in chosen]
            self._auto = voi.percentile_window(np.concatenate(values))
        return self._auto

    def is_inverted(self, index: int = 0) -> bool:
        """Never: NIfTI knows no inverted grey."""
        self._check_index(index)
        return False

    def spacing(self, index: int = 0) -> PixelSpacing:
        """Millimetres per pixel, from the transform or, without one, from pixdim."""
        self._check_index(index)
        return PixelSpacing(*self._pixel_mm, self._header.placement.source or "pixdim")

    def geometry(self, index: int = 0) -> PlaneGeometry | None:
        """Where a frame lies in the patient; None when the file has no transform."""
        self._check_index(index)
        affine = self._header.placement.affine
        if affine is None:
            return None
        shape = self._header.shape[:3]
        start = position(self._layout, shape, index % self._sizes[2])
        first = affine @ np.append(start, 1.0)
        row, column = (_direction(affine, run) for run in (self._layout.right, self._layout.down))
        where = (float(first[0]), float(first[1]), float(first[2]))
        return PlaneGeometry(where, row, column, self._pixel_mm)

    def letters(self, index: int = 0) -> EdgeLetters | None:
        """What lies at the edges of a frame; None when the file has no transform."""
        geometry = self.geometry(index)
        return None if geometry is None else letters_of_plane(geometry)

    def affine(self) -> np.ndarray | None:
        """float64 (4, 4), from the file's voxel (i, j, k, 1) to LPS in mm; None if not stated."""
        found = self._header.placement.affine
        return None if found is None else found.copy()

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """See `MediaSource.frame`. `window` applies to grey volumes only."""
        provenance: dict[str, Json] = {
            "format": self._info.facts["format"],
            "decoder": f"numpy {np.__version__}",
        }
        pixels = self._pixels(index, window, provenance)
        size = (int(pixels.shape[1]), int(pixels.shape[0]))
        shown = shrink(rgb(pixels), max_side)
        volume = index // self._sizes[2]
        step = self._header.step_s
        time_s = None if step is None else volume * step
        if (shown.shape[1], shown.shape[0]) == size:
            return Frame(shown, index, time_s, provenance)
        provenance["resized"] = [int(shown.shape[1]), int(shown.shape[0])]
        return Frame(shown, index, time_s, provenance, size)

    def _pixels(self, index: int, window: Window | None, notes: dict[str, Json]) -> np.ndarray:
        if self._header.channels > 1:
            # RGBA32 states an alpha that viewers of volumes leave out.
            return self.stored_values(index)[:, :, :3]
        values = self.modality_values(index)
        chosen = window or (self._info.windows or (self.auto_window(),))[0]
        notes["inverted"] = False
        notes["voi"] = {
            "function": chosen.function,
            "center": chosen.center,
            "width": chosen.width,
            "explanation": chosen.explanation,
        }
        grey = voi.apply_window(values.filled(0), chosen)
        return voi.finish(grey, values, inverted=False)

    def close(self) -> None:
        self._kept = None


def _direction(affine: np.ndarray, run: Run) -> tuple[float, float, float]:
    column = affine[:3, run.axis] if run.forward else -affine[:3, run.axis]
    x, y, z = column / np.linalg.norm(column) + 0.0  # no negative zeros
    return float(x), float(y), float(z)


def _exactly(read: Callable[[int], bytes], size: int, path: Path) -> np.ndarray:
    raw = read(size)
    if len(raw) < size:
        raise DamagedMediaError(
            f"the file ends {size - len(raw)} bytes before its voxels do", path=path
        )
    return np.frombuffer(raw, np.uint8)


def _inflate(read: Callable[[int], bytes], skipped: int, size: int, path: Path) -> np.ndarray:
    """`size` bytes from the place `skipped` of what gzip packed; nothing behind is inflated.

    Raises
    ------
    DamagedMediaError : the stream is broken or ends before
    """
    found = np.empty(size, np.uint8)
    unpacked, done = 0, 0
    stream: Any = zlib.decompressobj(zlib.MAX_WBITS | 16)
    packed = b""
    while done < size:
        packed = stream.unconsumed_tail or stream.unused_data or read(_CHUNK)
        if not packed:
            raise DamagedMediaError(
                f"the compressed file ends after {unpacked} of {skipped + size} bytes", path=path
            )
        if stream.eof:  # gzip allows members behind each other
            stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        sign()
        try:
            piece = stream.decompress(packed, _CHUNK)
        except zlib.error as error:
            raise DamagedMediaError(
                f"the compressed data are broken: {error}", path=path
            ) from error
        unpacked += len(piece)
        wanted = piece[max(0, len(piece) - (unpacked - skipped)) :] if unpacked > skipped else b""
        wanted = wanted[: size - done]
        found[done : done + len(wanted)] = np.frombuffer(wanted, np.uint8)
        done += len(wanted)
    return found
