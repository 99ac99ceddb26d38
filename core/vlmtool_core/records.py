"""The records that travel between the layers: frozen, typed, with units. No ORM, no Qt, no torch.

Coordinates are pixels of the oriented source image, origin top left, x right, y down;
boxes are `xyxy` (x1, y1, x2, y2), x2 and y2 exclusive. Times are seconds from pts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlmtool_core.errors import VlmtoolError

if TYPE_CHECKING:
    import numpy as np

Json = Any  # what json.dumps takes: dict, list, str, float, int, bool or None


class MediaKind(StrEnum):
    IMAGE = "image"
    DICOM = "dicom"
    VIDEO = "video"
    VOLUME = "volume"


class Task(StrEnum):
    CLASSIFY = "classify"
    DETECT = "detect"
    CAPTION = "caption"
    ASK = "ask"
    READ = "read"
    EMBED = "embed"
    SEGMENT = "segment"
    ENHANCE = "enhance"


# What a run over many items can do without anything drawn on each of them.
RUN_TASKS = tuple(task for task in Task if task not in (Task.SEGMENT, Task.ENHANCE))


class OutcomeStatus(StrEnum):
    """`empty` means: looked, and found nothing. It is never used for a failure."""

    OK = "ok"
    EMPTY = "empty"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FindingStatus(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as data, for ledgers, JSON and the window."""

    code: str
    message: str
    remedy: str = ""
    path: str | None = None
    field: str | None = None

    @classmethod
    def from_exception(cls, error: BaseException) -> ErrorInfo:
        if isinstance(error, VlmtoolError):
            return cls(error.code, error.message, error.remedy, error.path, error.field)
        return cls("internal", f"{type(error).__name__}: {error}", VlmtoolError.default_remedy)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of an item, ready for a model or the screen.

    pixels : uint8 (height, width, 3), RGB, oriented, windowed; contiguous
    index : 0-based position in the item
    time_s : seconds from pts for video and cine, None for a still
    provenance : how the pixels came to be (decoder and version, window, inversion, scaling)
    source_size : (width, height) of the oriented source when `pixels` was decoded smaller
    input_of : the model whose network input `pixels` already is (`engine.image_input`), else ""
    """

    pixels: np.ndarray
    index: int = 0
    time_s: float | None = None
    provenance: Mapping[str, Json] = field(default_factory=dict)
    source_size: tuple[int, int] | None = None
    input_of: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the oriented source, in pixels: what boxes refer to."""
        if self.source_size is not None:
            return self.source_size
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class WindowPreset:
    """A named grey window. It is offered only for pictures whose values have its `unit`."""

    name: str
    center: float
    width: float
    unit: str = "HU"


@dataclass(frozen=True, slots=True)
class Score:
    """`score` is a probability in [0, 1]."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the oriented source image, with what it is said to hold."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    score: float | None = None

    def __post_init__(self) -> None:
        if not (self.x1 <= self.x2 and self.y1 <= self.y2):
            got = (self.x1, self.y1, self.x2, self.y2)
            raise ValueError(f"expected x1 <= x2 and y1 <= y2, got {got}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return self.x1, self.y1, self.x2, self.y2


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of read text; `quad` is clockwise from the top-left corner of the text."""

    text: str
    quad: tuple[tuple[float, float], ...]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """The pixels of one object, in the COCO format's compressed run lengths.

    size : (height, width) of the oriented source, the order of COCO
    counts : COCO's compressed RLE string, column by column, zeros first
    score : the model's own estimate of the mask's quality (predicted IoU), in [0, 1]
    """

    size: tuple[int, int]
    counts: str
    label: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class SegmentPrompt:
    """What to segment: points on it and beside it, a box around it, or both.

    points : (x, y, whether it is on the object); in pixels of the oriented source
    box : xyxy in pixels of the oriented source
    label : what the mask will be called
    """

    points: tuple[tuple[float, float, bool], ...] = ()
    box: tuple[float, float, float, float] | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Enhanced:
    """A picture that was made from another one; never the original.

    pixels : uint8 (height, width, 3), RGB, oriented
    provenance : the model, its version, its settings and how the source was decoded
    """

    pixels: np.ndarray
    provenance: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something an answer rests on: a tag, a box, a read line, a header fact."""

    kind: str
    text: str
    score: float | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model says of one frame. Exactly the fields of its task are filled.

    embedding : float32 (d,), L2-normalised
    data : the validated answer to a structured question, as JSON; `text` is the model's own words
    provenance : model preprocessing, decoder and settings that made it
    """

    status: OutcomeStatus
    scores: tuple[Score, ...] = ()
    boxes: tuple[Box, ...] = ()
    text: str | None = None
    lines: tuple[TextLine, ...] = ()
    embedding: np.ndarray | None = None
    evidence: tuple[Evidence, ...] = ()
    masks: tuple[Mask, ...] = ()
    data: Json = None
    error: ErrorInfo | None = None
    provenance: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def failed(cls, error: BaseException) -> Outcome:
        return cls(OutcomeStatus.FAILED, error=ErrorInfo.from_exception(error))


ChatRole = Literal["user", "assistant", "system"]


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What was said in a conversation, and the pictures that a user showed with it."""

    role: ChatRole
    text: str
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """One label of the project's label set (or of a list given on the command line).

    prompts : texts that describe it to a text encoder; empty means the name itself
    definition : one sentence that says what belongs under it
    colour : "#rrggbb"; shortcut : one key, "1" to "9"
    label_set : the set it belongs to where a run is given several; labels of one set exclude
        one another, labels of two sets do not
    """

    name: str
    prompts: tuple[str, ...] = ()
    definition: str = ""
    colour: str = ""
    shortcut: str = ""
    label_set: str = ""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A named list of labels; `exclusive` when exactly one of them holds for a picture."""

    name: str
    labels: tuple[Label, ...]
    exclusive: bool = True
    domain: str = "general"


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model spoke. `fingerprint` is a SHA-256 over weights, head and preprocessing."""

    id: str
    version: str
    fingerprint: str = ""

    def __str__(self) -> str:
        return f"{self.id} {self.version}"


@dataclass(frozen=True, slots=True)
class ItemRef:
    """An item to run over, with or without a project.

    item : path relative to the input folder (posix), unique in a run
    path : the file, or the folder of a DICOM series
    files : the slices of a series in order, else empty
    item_id : the project's row, None on a bare folder
    """

    item: str
    path: Path
    kind: MediaKind
    sha256: str = ""
    files: tuple[Path, ...] = ()
    item_id: int | None = None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of results: one frame, one task, one model. The JSONL format is made from it.

    taken_at : time of day of a recording's frame, by the corrected clock of its camera; "" if
        unknown
    """

    item: str
    sha256: str
    frame: int
    time_s: float | None
    task: Task
    model: ModelIdentity
    outcome: Outcome
    size: tuple[int, int] | None = None
    taken_at: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """A drawn shape that a workflow asked for; `points` in pixels (box: two corners)."""

    role: str
    shape: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing a person should decide on.

    path : the file it is about; item : its row in a project, once it has one
    time_span_s : (start, end) in seconds of file time, for video
    model : who says so: a model, or a workflow with its version
    data : what the workflow needs to keep (read mark, expected answer, ...)
    """

    kind: str
    title: str
    path: str
    score: float | None = None
    label: str = ""
    frame: int = 0
    time_span_s: tuple[float, float] | None = None
    box: Box | None = None
    status: FindingStatus = FindingStatus.PENDING
    model: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)
    id: int | None = None
    item_id: int | None = None
    note: str = ""
    decided_at: datetime | None = None


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key in which `img2` comes before `img10`."""
    parts = re.split(r"(\d+)", text.casefold())
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)
