"""DICOM sources: one object with its frames, or the slices of a series in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo, PixelSpacing, PlaneGeometry, Window
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.dicom.badges import badges_of, uneven
from vlmtool_core.media.dicom.facts import (
    cine_times,
    facts_of,
    identifying_of,
)
from vlmtool_core.media.dicom.geometry import plane_geometry
from vlmtool_core.media.dicom.header import Header, read_header, text
from vlmtool_core.media.dicom.overlays import OverlayPlane, overlay_groups, overlay_planes
from vlmtool_core.media.dicom.pixels import PixelReader
from vlmtool_core.media.dicom.series import geometry_of
from vlmtool_core.media.dicom.slices import Slice, read_slice, slice_of
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.dicom.suv import suv_factor
from vlmtool_core.media.dicom.transform import (
    Transform,
    apply_palette,
    mask_bits,
    transform_of,
)
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pixels import rgb, shrink
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame, Json, MediaKind

OPEN_OBJECTS = 4

_SPOKEN_FACTS = frozenset({"modality", "body_part", "view", "laterality"})


class DicomSource(SourceBase):
    """One DICOM object, or a series of single-frame ones.

    path : the file, or what the series is called by; files : its slices in order

    Raises
    ------
    MediaError : a header is damaged, holds no picture, or asks for too much
    """

    def __init__(self, path: Path, files: Sequence[Path] = ()) -> None:
        self._files = tuple(files) or (path,)
        self._open: OrderedDict[int, tuple[Header, PixelReader]] = OrderedDict()
        self._auto: Window | None = None
        header, reader = self._object(0)
        self._times: list[float] | None = None
        with decoding(self._files[0]):
            self._info = self._describe(path, header, reader)

    def _describe(self, path: Path, header: Header, reader: PixelReader) -> MediaInfo:
        dataset = header.dataset
        facts = facts_of(header)
        facts["decoder"] = reader.decoder
        geometry: tuple[str, ...] = ()
        if planes := len(overlay_groups(dataset)):
            facts["overlay_planes"] = planes
        count = reader.frame_count
        rate: float | None = None
        if len(self._files) > 1:
            count = len(self._files)
            slices = self._slices(header)
            spacing, geometry = geometry_of(slices)
            facts["slices"] = count
            if spacing is not None:
                facts["slice_spacing_mm"] = spacing
        elif count > 1:
            self._times, rate = cine_times(dataset, count, reader.times_s)
        transform = transform_of(dataset, 0)
        badges = badges_of(dataset, transform.unit)
        return MediaInfo(
            path,
            MediaKind.DICOM,
            reader.columns,
            reader.rows,
            count,
            duration_s=self._times[-1] if self._times else None,
            rate=rate,
            warnings=(*(badge.note for badge in badges), *geometry, *reader.notes),
            facts=facts,
            identifying=identifying_of(dataset),
            windows=() if is_colour(dataset) else transform.windows,
            unit=transform.unit,
            group=text(dataset, "PatientID"),
            has_values=not is_colour(dataset),
            badges=(*badges, *uneven(geometry)),
        )

    def _slices(self, first: Header) -> list[Slice]:
        slices = [slice_of(self._files[0], first.dataset)]
        slices += [read_slice(file) for file in self._files[1:]]
        return slices

    def _object(self, position: int) -> tuple[Header, PixelReader]:
        """Header and reader of a file, the last few of them kept open."""
        if position in self._open:
            self._open.move_to_end(position)
            return self._open[position]
        header = read_header(self._files[position])
        reader = PixelReader(header)
        self._open[position] = (header, reader)
        while len(self._open) > OPEN_OBJECTS:
            _, (_, oldest) = self._open.popitem(last=False)
            oldest.close()
        return header, reader

    def _locate(self, index: int) -> tuple[Header, PixelReader, int]:
        self._check_index(index)
        position, frame = (index, 0) if len(self._files) > 1 else (0, index)
        return *self._object(position), frame

    def modality_values(self, index: int = 0) -> np.ma.MaskedArray:
        """Values before windowing: masked float32 (h, w) in `info.unit`; padding is masked.

        Raises
        ------
        MediaError : it cannot be decoded
        ValueError : the picture is in colour
        """
        header, reader, frame = self._locate(index)
        if is_colour(header.dataset):
            raise ValueError(f"{self.path}: a colour picture has no modality values")
        return self._values(header, reader, frame)[0]

    def stored_values(self, index: int = 0) -> np.ndarray:
        """Values as the file has them, (h, w), before any transform.

        Raises
        ------
        MediaError : it cannot be decoded
        ValueError : the picture is in colour
        """
        header, reader, frame = self._locate(index)
        if is_colour(header.dataset):
            raise ValueError(f"{self.path}: a colour picture has no stored grey values")
        return reader.read(frame)[0]

    @property
    def is_colour(self) -> bool:
        """Whether there are no modality values: RGB, YBR or PALETTE COLOR."""
        return is_colour(self._object(0)[0].dataset)

    def spacing(self, index: int = 0) -> PixelSpacing | None:
        """Millimetres per pixel of a frame; None when the header does not say."""
        header, _, frame = self._locate(index)
        return pixel_spacing(header.dataset, frame)

    def geometry(self, index: int = 0) -> PlaneGeometry | None:
        """Where a frame lies in the patient; None when the header does not say."""
        header, _, frame = self._locate(index)
        return plane_geometry(header.dataset, frame)

    def overlays(self, index: int = 0) -> tuple[OverlayPlane, ...]:
        """Drawings that lie over a frame; they are in no picture that a model is given.

        Raises
        ------
        MediaError : a plane, or the pixels that hide one, cannot be read
        """
        header, reader, frame = self._locate(index)
        if not overlay_groups(header.dataset):
            return ()
        stored = reader.read_allocated(frame)
        return overlay_planes(header, frame, (reader.rows, reader.columns), stored)

    def suv_factor(self, index: int = 0) -> float:
        """What `modality_values` are multiplied by to become SUVbw in g/ml.

        Raises
        ------
        UnsupportedMediaError : names the element that does not allow it
        """
        header, _, _ = self._locate(index)
        return suv_factor(header.dataset)

    def auto_window(self) -> Window:
        """The window used when the file has none: 1st to 99th percentile of the middle frame."""
        if self._auto is None:
            middle = (self._info.frame_count or 1) // 2
            self._auto = voi.percentile_window(self.modality_values(middle))
        return self._auto

    def is_inverted(self, index: int = 0) -> bool:
        """Whether low values are white (MONOCHROME1)."""
        header, _, frame = self._locate(index)
        return transform_of(header.dataset, frame).inverted

    def _values(
        self, header: Header, reader: PixelReader, frame: int
    ) -> tuple[np.ma.MaskedArray, Transform]:
        stored, _ = reader.read(frame)
        with decoding(header.path):
            transform = transform_of(header.dataset, frame)
            values = transform.modality_values(stored)
            if transform.table is not None or values.data.dtype.kind != "f":
                return values, transform
            kept = mask_bits(stored, header.dataset)
            if kept is not stored:
                clean = transform.modality_values(kept)
                values = np.ma.MaskedArray(clean.data, mask=values.mask)
        return values, transform

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """See `MediaSource.frame`. `window` applies to grey pictures only."""
        header, reader, position = self._locate(index)
        provenance: dict[str, Json] = {"format": "DICOM", "transfer_syntax": header.transfer_syntax}
        if is_colour(header.dataset):
            pixels = self._colour(header, reader, position)
        else:
            pixels = self._grey(header, reader, position, window, provenance)
        provenance["decoder"] = reader.decoder
        # What a caption may say of the picture; none of it identifies a person.
        provenance["facts"] = {k: v for k, v in self._info.facts.items() if k in _SPOKEN_FACTS}
        size = (int(pixels.shape[1]), int(pixels.shape[0]))
        with decoding(header.path):
            shown = shrink(rgb(pixels), max_side)
        time_s = self._times[index] if self._times else None
        if (shown.shape[1], shown.shape[0]) == size:
            return Frame(shown, index, time_s, provenance)
        provenance["resized"] = [int(shown.shape[1]), int(shown.shape[0])]
        return Frame(shown, index, time_s, provenance, size)

    def _grey(
        self,
        header: Header,
        reader: PixelReader,
        frame: int,
        window: Window | None,
        provenance: dict[str, Json],
    ) -> np.ndarray:
        values, transform = self._values(header, reader, frame)
        provenance["inverted"] = transform.inverted
        with decoding(header.path):
            if window is None and transform.voi_tables:
                table = transform.voi_tables[0]
                provenance["voi"] = {"function": "TABLE", "explanation": table.explanation}
                return voi.finish(table.grey(values.data), values, inverted=transform.inverted)
            chosen = window or (
                transform.windows[0] if transform.windows else self._fallback(values)
            )
            provenance["voi"] = {
                "function": chosen.function,
                "center": chosen.center,
                "width": chosen.width,
                "explanation": chosen.explanation,
            }
            return voi.render_window(values, chosen, inverted=transform.inverted)

    def _fallback(self, values: np.ma.MaskedArray) -> Window:
        if (self._info.frame_count or 1) == 1:
            self._auto = self._auto or voi.percentile_window(values)
        return self.auto_window()

    def _colour(self, header: Header, reader: PixelReader, frame: int) -> np.ndarray:
        values, photometric = reader.read(frame)
        with decoding(header.path):
            if photometric == "PALETTE COLOR":
                return apply_palette(values, header.dataset)
            if values.ndim != 3 or values.shape[2] < 3:
                raise DamagedMediaError(
                    f"{photometric} with {reader.samples} samples per pixel", path=header.path
                )
            if values.dtype == np.uint8:
                return values
            full = float(2**reader.bits_stored - 1)
            grey = np.rint(values.astype(np.float32) * np.float32(255 / full))
            return np.clip(grey, 0, 255).astype(np.uint8)

    def close(self) -> None:
        for _, reader in self._open.values():
            reader.close()
        self._open.clear()


def is_colour(dataset: Any) -> bool:
    """RGB, YBR or PALETTE COLOR."""
    return not text(dataset, "PhotometricInterpretation").upper().startswith("MONOCHROME")
