"""Softcopy presentation states (PS3.3 A.33): how somebody wanted pictures to be seen. Read only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlmtool_core.errors import DamagedMediaError, MediaError, UnsupportedMediaError
from vlmtool_core.media.base import Window
from vlmtool_core.media.budget import check_file
from vlmtool_core.media.dicom.header import Header, number, numbers, read_header, text
from vlmtool_core.media.dicom.objects import (
    GREYSCALE_STATE,
    PRESENTATION_STATES,
    kind_of,
    sop_class,
    storage_class,
)
from vlmtool_core.media.dicom.presentation_graphics import Annotation, Area, annotations_of
from vlmtool_core.media.dicom.shutters import Shutter, shutter_of
from vlmtool_core.media.dicom.transform import Transform, transform_of, windows_of
from vlmtool_core.media.dicom.voi import LookupTable
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.records import Json

log = logging.getLogger(__name__)

# Colour and pseudo-colour states: their graphics and areas are read, their colours are not.
_READ = frozenset((GREYSCALE_STATE, f"{PRESENTATION_STATES}2", f"{PRESENTATION_STATES}3"))
_QUARTER_TURNS = (0, 90, 180, 270)
_MOST_BESIDE = 20_000
_MOST_READ = 200
_SERIES = "ReferencedSeriesSequence"


@dataclass(frozen=True)
class Reference:
    """An image that a part of a state applies to. frames : counted from 1; empty for all."""

    instance: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class StateReference:
    """A presentation state beside the pictures it is for.

    label, description : as its author named it; may identify a person
    """

    path: Path
    label: str
    description: str


@dataclass(frozen=True)
class Applied:
    """A part of a state, and the images it is for; for all of the state's where there are none."""

    to: tuple[Reference, ...]
    windows: tuple[Window, ...] = ()
    area: Area | None = None
    annotation: Annotation | None = None


@dataclass(frozen=True)
class PresentationState:
    """How pictures are to be seen.

    label, description : as its author named it; may identify a person
    references : the images it is for
    modality : in place of the images' own, also where that is the identity (PS3.4 N.2.1.1)
    presentation, inverted : in place of what the images' photometric interpretation asks for
    rotation : degrees clockwise, before `flipped` mirrors left and right
    notes : what of it is not shown here; series : UIDs of those that the images are in
    """

    path: Path
    kind: str
    label: str
    description: str
    references: tuple[Reference, ...]
    modality: Transform
    windows: tuple[Applied, ...]
    presentation: LookupTable | None
    inverted: bool
    shutter: Shutter | None
    areas: tuple[Applied, ...]
    rotation: int
    flipped: bool
    annotations: tuple[Applied, ...]
    notes: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    def is_for(self, instance: str, frame: int) -> bool:
        """Whether the state is for frame `frame` (from 1) of the image with a SOP Instance UID."""
        return _refers(self.references, instance, frame)

    def window(self, instance: str, frame: int) -> Window | None:
        """The first VOI window or table for a frame; None where values go through as they are."""
        for applied in self._of(self.windows, instance, frame):
            return applied.windows[0]
        return None

    def area(self, instance: str, frame: int) -> Area | None:
        for applied in self._of(self.areas, instance, frame):
            return applied.area
        return None

    def graphics(self, instance: str, frame: int) -> tuple[Annotation, ...]:
        """What is drawn and written on a frame, the lowest layer first."""
        found = [a.annotation for a in self._of(self.annotations, instance, frame)]
        known = [annotation for annotation in found if annotation is not None]
        return tuple(sorted(known, key=lambda annotation: annotation.layer.order))

    def _of(self, parts: Sequence[Applied], instance: str, frame: int) -> list[Applied]:
        return [p for p in parts if not p.to or _refers(p.to, instance, frame)]

    @property
    def orientation(self) -> str:
        """Rotation and mirroring in words, "" where the picture stays as it is."""
        words = [f"turned {self.rotation}° clockwise"] if self.rotation else []
        words += ["mirrored left to right"] if self.flipped else []
        return ", ".join(words)

    def facts(self) -> dict[str, Json]:
        """What the state holds; nothing that identifies a person."""
        shapes = [s for a in self.annotations if a.annotation for s in a.annotation.graphics]
        texts = [t for a in self.annotations if a.annotation for t in a.annotation.texts]
        windows = [_window_words(w) for part in self.windows for w in part.windows]
        facts: dict[str, Json] = {
            "object": self.kind,
            "images": len(self.references),
            "modality_values": self.modality.in_words(),
            "windows": list(dict.fromkeys(windows)),
            "presentation": "inverse" if self.inverted else "identity",
            "shutter": "" if self.shutter is None else self.shutter.in_words(),
            "areas": list(dict.fromkeys(part.area.in_words() for part in self.areas if part.area)),
            "orientation": self.orientation,
            "layers": sorted({a.annotation.layer.name for a in self.annotations if a.annotation}),
            "graphics": len(shapes),
            "texts": len(texts),
            "not_shown": list(self.notes),
        }
        if self.presentation is not None:
            facts["presentation"] = "Presentation LUT"
        return {name: value for name, value in facts.items() if value not in ("", [], 0)}


def _refers(references: Iterable[Reference], instance: str, frame: int) -> bool:
    return any(
        one.instance == instance and (not one.frames or frame in one.frames) for one in references
    )


def _window_words(window: Window) -> str:
    if window.table is not None:
        return f"VOI LUT {window.explanation}".strip()
    return f"{window.center:g}/{window.width:g} {window.function.lower()}"


def is_presentation_state(path: Path) -> bool:
    """Whether a file says that it is one that can be read here; tells by its first bytes."""
    try:
        return storage_class(path) in _READ
    except OSError:
        return False


def states_beside(files: Sequence[Path]) -> tuple[Path, ...]:
    """The presentation states in the folders of `files`, in the order of their names."""
    found: list[Path] = []
    for folder in sorted({file.parent for file in files}):
        try:
            found += _states_in(folder, folder.stat().st_mtime_ns)
        except OSError:
            continue  # an item in an archive, or a folder that is gone
    return tuple(found)


@lru_cache(maxsize=32)
def _states_in(folder: Path, _modified_ns: int) -> tuple[Path, ...]:
    """Asked for with every item of a folder, and looked for once until the folder changes."""
    entries = sorted(folder.iterdir())[:_MOST_BESIDE]
    return tuple(path for path in entries if path.is_file() and is_presentation_state(path))


def states_for(files: Sequence[Path], series: str) -> tuple[StateReference, ...]:
    """The presentation states beside `files` that are for images of a series; broken ones are
    left out, with a line in the log.
    """
    found = []
    for path in states_beside(files)[:_MOST_READ]:
        try:
            state = known_state(path)
        except MediaError as error:
            log.warning("a presentation state was left out: %s", error.message)
            continue
        if series in state.series:
            found.append(StateReference(path, state.label, state.description))
    return tuple(found)


def known_state(path: Path) -> PresentationState:
    """A state, read again only when its file has changed; see `read_presentation_state`."""
    check_file(path)
    return _read_once(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=_MOST_READ)
def _read_once(path: Path, _modified_ns: int) -> PresentationState:
    return read_presentation_state(path)


def read_presentation_state(path: Path) -> PresentationState:
    """Read a state as a whole.

    Raises
    ------
    UnsupportedMediaError : it is none, or one for blending or for volumes
    DamagedMediaError : one of its parts breaks the standard
    """
    check_file(path)
    header = read_header(path)
    dataset = header.dataset
    with decoding(path):
        sop = sop_class(dataset)
    if sop not in _READ:
        raise UnsupportedMediaError(
            f"this is no greyscale or colour presentation state, but: {kind_of(sop)}",
            path=path,
            field="SOPClassUID",
            remedy="Name a softcopy presentation state (PR) of the pictures.",
        )
    with decoding(path):
        try:
            return _state(header, dataset, sop)
        except ValueError as error:
            raise DamagedMediaError(
                f"its presentation state is broken: {error}", path=path
            ) from error


def _state(header: Header, dataset: Any, sop: str) -> PresentationState:
    transform = transform_of(header, 0)
    annotations = [
        Applied(references_of(item), annotation=annotation)
        for item, annotation in annotations_of(dataset)
    ]
    return PresentationState(
        header.path,
        kind_of(sop),
        text(dataset, "ContentLabel"),
        text(dataset, "ContentDescription"),
        _related(dataset),
        transform,
        tuple(_windows(dataset, transform)),
        transform.presentation,
        text(dataset, "PresentationLUTShape").upper() == "INVERSE",
        shutter_of(dataset),
        tuple(_areas(dataset)),
        _rotation(dataset),
        text(dataset, "ImageHorizontalFlip").upper() == "Y",
        tuple(annotations),
        tuple(_notes(dataset, sop, transform)),
        tuple(text(item, "SeriesInstanceUID") for item in dataset.get(_SERIES) or ()),
    )


def references_of(item: Any) -> tuple[Reference, ...]:
    """Of a Referenced Image Sequence (PS3.3 10.3)."""
    return tuple(
        Reference(
            str(image.get("ReferencedSOPInstanceUID", "")),
            tuple(int(frame) for frame in numbers(image, "ReferencedFrameNumber")),
        )
        for image in item.get("ReferencedImageSequence") or ()
    )


def _related(dataset: Any) -> tuple[Reference, ...]:
    """Of the Presentation State Relationship module (PS3.3 C.11.11)."""
    series = dataset.get(_SERIES) or ()
    return tuple(reference for item in series for reference in references_of(item))


def _windows(dataset: Any, modality: Transform) -> Iterable[Applied]:
    """Of the Softcopy VOI LUT module (PS3.3 C.11.8)."""
    negative = modality.table is None and (modality.intercept < 0 or modality.slope < 0)
    for item in dataset.get("SoftcopyVOILUTSequence") or ():
        windows, _ = windows_of(item, negative)
        if windows:
            yield Applied(references_of(item), windows=windows)


def _areas(dataset: Any) -> Iterable[Applied]:
    """Of the Displayed Area module (PS3.3 C.10.4)."""
    for item in dataset.get("DisplayedAreaSelectionSequence") or ():
        first = numbers(item, "DisplayedAreaTopLeftHandCorner")
        last = numbers(item, "DisplayedAreaBottomRightHandCorner")
        if len(first) == 2 and len(last) == 2:
            left, right = sorted((first[0], last[0]))
            top, bottom = sorted((first[1], last[1]))
            mode = text(item, "PresentationSizeMode").upper()
            ratio = number(item, "PresentationPixelMagnificationRatio")
            area = Area(left - 1, top - 1, right, bottom, mode, ratio or 0.0)
            yield Applied(references_of(item), area=area)


def _rotation(dataset: Any) -> int:
    """Of the Spatial Transformation module (PS3.3 C.10.6)."""
    stated = int(number(dataset, "ImageRotation") or 0)
    if stated not in _QUARTER_TURNS:
        raise ValueError(f"an image rotation of {stated} degrees")
    return stated


def _notes(dataset: Any, sop: str, transform: Transform) -> Iterable[str]:
    yield from transform.notes
    if sop != GREYSCALE_STATE:
        yield "its colours (ICC profile or palette) are not applied"
    if dataset.get("MaskSubtractionSequence"):
        yield "its mask is not subtracted"
    if dataset.get("CompoundGraphicSequence") or any(
        item.get("CompoundGraphicSequence")
        for item in dataset.get("GraphicAnnotationSequence") or ()
    ):
        yield "its compound graphics (rulers, arrows, axes) are not drawn"
    if any((group, 0x1001) in dataset for group in range(0x6000, 0x6020, 2)):
        yield "the overlays that it switches on are not drawn with it"
