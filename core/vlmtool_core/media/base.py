"""The interface that every kind of media has, and the records it speaks in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, cast

from vlmtool_core.records import ErrorInfo, Frame, Json, MediaKind

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.media.dicom.voi import LookupTable


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window in modality units (PS3.3 C.11.2), or a VOI LUT of the file.

    function : LINEAR, LINEAR_EXACT, SIGMOID; TABLE for a LUT, which is `table` then, while center
        and width tell the values that it tells apart
    """

    center: float
    width: float
    explanation: str = ""
    function: str = "LINEAR"
    table: LookupTable | None = None


@dataclass(frozen=True, slots=True)
class PixelSpacing:
    """Distance of neighbouring pixel centres in mm, between rows and between columns.

    source : where it comes from, in words for a person
    projected : whether nobody has calibrated a projection, so that it is not sure to be that of
        the plane of the body that is measured in
    """

    row_mm: float
    column_mm: float
    source: str
    projected: bool = False


@dataclass(frozen=True, slots=True)
class Badge:
    """A warning in a word or two, for the place where the picture is looked at.

    note : the same in a sentence; it is among the item's warnings
    grave : whether what is seen may not be what was there, or names somebody
    """

    text: str
    note: str
    grave: bool = False


@dataclass(frozen=True, slots=True)
class PlaneGeometry:
    """Where a frame lies in the patient (PS3.3 C.7.6.2): the LPS system, in mm.

    position : of the centre of the first pixel
    row, column : unit vectors along which the column index, and the row index, grow
    spacing : (between rows, between columns) in mm
    frame_of_reference : UID; positions of different ones cannot be compared, "" when unknown
    """

    position: tuple[float, float, float]
    row: tuple[float, float, float]
    column: tuple[float, float, float]
    spacing: tuple[float, float]
    frame_of_reference: str = ""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What is known of an item before its pixels are decoded.

    width, height : pixels after orientation or rotation
    frame_count : frames an item has; for video the count the container states, None if unknown
    duration_s : seconds, None for stills
    rate : frames per second for display (average of a video, cine rate), None for stills
    warnings : what a user must know: damage, lossy compression, uneven spacing, ...
    facts : facts that identify nobody (modality, body part, codec, bits), for captions and panels
    identifying : header values that identify a person; hidden by one switch, never sent to a model
    windows : VOI windows of the file, first is the default; empty for colour
    unit : unit of modality values ("HU"), "" when unknown
    group : patient identifier for DICOM, else ""
    has_values : whether there are grey values behind the picture; see `GreySource`
    badges : the warnings that go with every look at the picture
    """

    path: Path
    kind: MediaKind
    width: int
    height: int
    frame_count: int | None = 1
    duration_s: float | None = None
    rate: float | None = None
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)
    identifying: Mapping[str, str] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    unit: str = ""
    group: str = ""
    has_values: bool = False
    badges: tuple[Badge, ...] = ()


class MediaSource(Protocol):
    """An opened item. Not thread-safe: one per thread."""

    @property
    def info(self) -> MediaInfo: ...

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """Decode one frame as oriented uint8 RGB.

        max_side : decode no larger than needed for this longer side, in pixels; `Frame.size`
            stays that of the source
        window : for DICOM, in place of the file's own

        Raises
        ------
        DamagedMediaError, UnsupportedMediaError, BudgetExceededError
        IndexError : no such frame
        """
        ...

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        """Frames in ascending order of `indices` (all when None), decoded in one pass."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class GreySource(MediaSource, Protocol):
    """A source with values behind its pictures: grey DICOM, volumes, deep pictures."""

    def modality_values(self, index: int = 0) -> np.ma.MaskedArray:
        """Values before windowing: masked float32 (h, w) in `info.unit`; padding is masked.

        Raises
        ------
        MediaError : it cannot be decoded
        """
        ...

    def stored_values(self, index: int = 0) -> np.ndarray:
        """Values as the file has them, (h, w), before any transform."""
        ...

    def auto_window(self) -> Window:
        """The window that shows the item where the file names none."""
        ...

    def is_inverted(self, index: int = 0) -> bool:
        """Whether low values are white (MONOCHROME1)."""
        ...

    def spacing(self, index: int = 0) -> PixelSpacing | None:
        """Millimetres per pixel of a frame; None when the file does not say."""
        ...

    def geometry(self, index: int = 0) -> PlaneGeometry | None:
        """Where a frame lies in the patient; None when the file does not say."""
        ...


def grey(source: MediaSource) -> GreySource | None:
    """The source with what lies behind its pictures; None where that is nothing."""
    return cast(GreySource, source) if source.info.has_values else None


@dataclass(frozen=True, slots=True)
class Discovered:
    """Something found while scanning: an item to be, or a file that cannot be one and why.

    name : unique path relative to the scanned root (posix); a series is its folder,
        with `#<n>` appended when a folder holds several
    """

    path: Path
    name: str
    kind: MediaKind | None
    files: tuple[Path, ...] = ()
    error: ErrorInfo | None = None
