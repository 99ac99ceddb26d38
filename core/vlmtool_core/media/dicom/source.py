"""DICOM sources: one object with its frames, or the slices of a series in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlmtool_core.media.base import MediaInfo, PixelSpacing, PlaneGeometry, Window
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.dicom.badges import badges_of, uneven
from vlmtool_core.media.dicom.facts import (
    cine_times,
    facts_of,
    identifying_of,
)
from vlmtool_core.media.dicom.geometry import edge_letters, plane_geometry
from vlmtool_core.media.dicom.header import Header, read_header, text
from vlmtool_core.media.dicom.overlays import OverlayPlane, overlay_groups, overlay_planes
from vlmtool_core.media.dicom.pipeline import Pipeline
from vlmtool_core.media.dicom.presentation_state import (
    PresentationState,
    StateReference,
    known_state,
    states_for,
)
from vlmtool_core.media.dicom.presenting import (
    Presented,
    covered_by_own,
    covered_by_state,
    drawn_by_state,
    instance_of,
    presented_pixels,
)
from vlmtool_core.media.dicom.series import geometry_of
from vlmtool_core.media.dicom.shutters import Covered, words_of
from vlmtool_core.media.dicom.slices import Slice, read_slice, slice_of
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.dicom.suv import suv_factor
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pixels import rgb, shrink
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.volumes.letters import EdgeLetters, ends_of
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
        self._open: OrderedDict[int, Pipeline] = OrderedDict()
        self._auto: Window | None = None
        first = self._object(0)
        self._times: list[float] | None = None
        with decoding(self._files[0]):
            self._info = self._describe(path, first)

    def _describe(self, path: Path, pipeline: Pipeline) -> MediaInfo:
        header, reader = pipeline.header, pipeline.reader
        dataset = header.dataset
        facts = {**facts_of(header), **pipeline.facts()}
        facts["decoder"] = reader.decoder
        geometry: tuple[str, ...] = ()
        if shutter := words_of(dataset):
            facts["shutter"] = shutter
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
        grey = None if pipeline.is_colour else pipeline.transform(0)
        unit = grey.unit if grey is not None and pipeline.has_one_unit() else ""
        badges = badges_of(dataset, unit)
        notes = (*reader.notes, *pipeline.notes())
        return MediaInfo(
            path,
            MediaKind.DICOM,
            reader.columns,
            reader.rows,
            count,
            duration_s=self._times[-1] if self._times else None,
            rate=rate,
            warnings=(*(badge.note for badge in badges), *geometry, *notes),
            facts=facts,
            identifying=identifying_of(dataset),
            windows=() if grey is None else grey.windows,
            unit=unit,
            group=text(dataset, "PatientID"),
            has_values=grey is not None,
            badges=(*badges, *uneven(geometry)),
        )

    def _slices(self, first: Header) -> list[Slice]:
        slices = [slice_of(self._files[0], first.dataset)]
        slices += [read_slice(file) for file in self._files[1:]]
        return slices

    def _object(self, position: int) -> Pipeline:
        """A file, the last few of them kept open."""
        if position in self._open:
            self._open.move_to_end(position)
            return self._open[position]
        self._open[position] = Pipeline(read_header(self._files[position]))
        while len(self._open) > OPEN_OBJECTS:
            self._open.popitem(last=False)[1].close()
        return self._open[position]

    def _locate(self, index: int) -> tuple[Pipeline, int]:
        self._check_index(index)
        position, frame = (index, 0) if len(self._files) > 1 else (0, index)
        return self._object(position), frame

    def modality_values(self, index: int = 0) -> np.ma.MaskedArray:
        """Values before windowing: masked float32 (h, w) in `info.unit`; padding is masked.

        Raises
        ------
        MediaError : it cannot be decoded
        ValueError : the picture is in colour
        """
        pipeline, frame = self._locate(index)
        if pipeline.is_colour:
            raise ValueError(f"{self.path}: a colour picture has no modality values")
        return pipeline.values(frame)

    def stored_values(self, index: int = 0) -> np.ndarray:
        """Values of the stored bits, (h, w), before any transform; read-only.

        Raises
        ------
        MediaError : it cannot be decoded
        ValueError : the picture is in colour
        """
        pipeline, frame = self._locate(index)
        if pipeline.is_colour:
            raise ValueError(f"{self.path}: a colour picture has no stored grey values")
        return pipeline.stored(frame)

    def windows(self, index: int = 0) -> tuple[Window, ...]:
        """VOI tables and windows that the header has for a frame, the default first.

        Raises
        ------
        MediaError
        """
        pipeline, frame = self._locate(index)
        return () if pipeline.is_colour else pipeline.transform(frame).windows

    def unit(self, index: int = 0) -> str:
        """The unit of a frame's modality values, "" when unknown.

        Raises
        ------
        MediaError
        """
        pipeline, frame = self._locate(index)
        return "" if pipeline.is_colour else pipeline.transform(frame).unit

    @property
    def is_colour(self) -> bool:
        """Whether there are no modality values: RGB, YBR or PALETTE COLOR."""
        return self._object(0).is_colour

    def spacing(self, index: int = 0) -> PixelSpacing | None:
        """Millimetres per pixel of a frame; None when the header does not say."""
        pipeline, frame = self._locate(index)
        return pixel_spacing(pipeline.header.dataset, frame)

    def geometry(self, index: int = 0) -> PlaneGeometry | None:
        """Where a frame lies in the patient; None when the header does not say."""
        pipeline, frame = self._locate(index)
        return plane_geometry(pipeline.header.dataset, frame)

    def letters(self, index: int = 0) -> EdgeLetters | None:
        """What lies at the edges of a frame; None when the header does not say."""
        pipeline, frame = self._locate(index)
        return edge_letters(pipeline.header.dataset, frame)

    def axis_ends(self) -> tuple[tuple[str, str], ...] | None:
        """Letters of both ends of the patient's axes; None where they cannot be known."""
        dataset = self._object(0).header.dataset
        anatomy = text(dataset, "AnatomicalOrientationType").upper()
        return ends_of(anatomy, text(dataset, "BodyPartExamined"))

    def overlays(self, index: int = 0) -> tuple[OverlayPlane, ...]:
        """Drawings that lie over a frame; they are in no picture that a model is given.

        Raises
        ------
        MediaError : a plane, or the pixels that hide one, cannot be read
        """
        pipeline, frame = self._locate(index)
        header, reader = pipeline.header, pipeline.reader
        if not overlay_groups(header.dataset):
            return ()
        stored = reader.read_allocated(frame)
        return overlay_planes(header, frame, (reader.rows, reader.columns), stored)

    def shutter(self, index: int = 0) -> Covered | None:
        """What the display shutter covers when a frame is looked at; None without one.

        Raises
        ------
        DamagedMediaError : the shutter is broken
        """
        return covered_by_own(*self._locate(index))

    def presentation(self, path: Path) -> PresentationState:
        """A presentation state of these pictures.

        Raises
        ------
        MediaError : it is none, or broken
        """
        return known_state(path)

    def is_presented(self, index: int, path: Path) -> bool:
        """Whether the presentation state at `path` is for a frame.

        Raises
        ------
        MediaError
        """
        pipeline, frame = self._locate(index)
        return self.presentation(path).is_for(instance_of(pipeline), frame + 1)

    def presented(
        self, index: int, path: Path, *, window: Window | None = None, max_side: int | None = None
    ) -> Presented:
        """A frame as the presentation state at `path` asks for it, and what it draws over it.

        window : in place of the state's own

        Raises
        ------
        MediaError
        """
        state = self.presentation(path)
        pipeline, frame = self._locate(index)
        provenance: dict[str, Json] = {"format": "DICOM", "decoder": pipeline.reader.decoder}
        pixels, chosen = presented_pixels(pipeline, frame, state, window, provenance)
        return Presented(
            self._finished(pipeline, pixels, index, max_side, provenance),
            drawn_by_state(pipeline, frame, state),
            covered_by_state(pipeline, frame, state),
            state.rotation,
            state.flipped,
            state.is_for(instance_of(pipeline), frame + 1),
            chosen,
            state.orientation,
            state.notes,
        )

    def presentations(self) -> tuple[StateReference, ...]:
        """The presentation states in the folders of its files that are for these pictures."""
        series = text(self._object(0).header.dataset, "SeriesInstanceUID")
        return states_for(self._files, series)

    def suv_factor(self, index: int = 0) -> float:
        """What `modality_values` are multiplied by to become SUVbw in g/ml.

        Raises
        ------
        UnsupportedMediaError : names the element that does not allow it
        """
        return suv_factor(self._locate(index)[0].header.dataset)

    def auto_window(self) -> Window:
        """The window used when the file has none: 1st to 99th percentile of the middle frame."""
        if self._auto is None:
            middle = (self._info.frame_count or 1) // 2
            self._auto = voi.percentile_window(self.modality_values(middle))
        return self._auto

    def is_inverted(self, index: int = 0) -> bool:
        """Whether low values are white (MONOCHROME1)."""
        pipeline, frame = self._locate(index)
        return not pipeline.is_colour and pipeline.transform(frame).inverted

    def times(self) -> list[float]:
        """Seconds of each frame from the first, of what was recorded over time; else empty."""
        return list(self._times or ())

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """See `MediaSource.frame`. `window` applies to grey pictures only."""
        pipeline, position = self._locate(index)
        syntax = pipeline.header.transfer_syntax
        provenance: dict[str, Json] = {"format": "DICOM", "transfer_syntax": syntax}
        if pipeline.is_colour:
            pixels = pipeline.colour(position, provenance)
        else:
            pixels = pipeline.grey(position, window, self._automatic, provenance)
        provenance["decoder"] = pipeline.reader.decoder
        provenance.update(pipeline.reader.provenance)
        # What a caption may say of the picture; none of it identifies a person.
        provenance["facts"] = {k: v for k, v in self._info.facts.items() if k in _SPOKEN_FACTS}
        return self._finished(pipeline, pixels, index, max_side, provenance)

    def _finished(
        self,
        pipeline: Pipeline,
        pixels: np.ndarray,
        index: int,
        max_side: int | None,
        provenance: dict[str, Json],
    ) -> Frame:
        """The frame, no larger than asked for."""
        size = (int(pixels.shape[1]), int(pixels.shape[0]))
        with decoding(pipeline.header.path):
            shown = shrink(rgb(pixels), max_side)
        time_s = self._times[index] if self._times else None
        if (shown.shape[1], shown.shape[0]) == size:
            return Frame(shown, index, time_s, provenance)
        provenance["resized"] = [int(shown.shape[1]), int(shown.shape[0])]
        return Frame(shown, index, time_s, provenance, size)

    def _automatic(self, values: np.ma.MaskedArray) -> Window:
        if (self._info.frame_count or 1) == 1:
            self._auto = self._auto or voi.percentile_window(values)
        return self.auto_window()

    def close(self) -> None:
        for pipeline in self._open.values():
            pipeline.close()
        self._open.clear()
