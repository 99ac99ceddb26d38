"""What annotation files are read into and written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from vlmtool_core.measurement import Measurement
from vlmtool_core.records import Box

AnnotationKind = Literal["label", "box", "text", "measurement"]
KINDS: tuple[AnnotationKind, ...] = ("label", "box", "text", "measurement")


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """One annotation of one frame, with the item by name.

    box : for kind box, with its label inside as well; label : "" when it has none
    size : (width, height) of the item in pixels, None when unknown
    where : the place in the file it was read from, for errors
    """

    item: str
    kind: AnnotationKind
    frame: int = 0
    label: str = ""
    box: Box | None = None
    text: str | None = None
    author: str = ""
    sha256: str = ""
    group: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    size: tuple[int, int] | None = None
    measurement: Measurement | None = None
    where: str = field(default="", compare=False)
