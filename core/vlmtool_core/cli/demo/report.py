"""The demo's report: one HTML page with pictures beside it, no scripts, no outside resources."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Box, Frame, Outcome

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

PICTURE_SIDE = 360


@dataclass(frozen=True)
class Picture:
    """A drawn-over JPEG as a data URI, with the lines of text below it."""

    uri: str
    lines: tuple[str, ...]


@dataclass
class Section:
    """One step of the demo: what it did, a short table, pictures, and how long it took."""

    title: str
    note: str = ""
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def draw(frame: Frame, outcomes: Sequence[Outcome], lines: Sequence[str]) -> Picture:
    """`frame` with the boxes and text quadrilaterals of `outcomes` over it."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(frame.pixels).convert("RGB")
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    scale = image.width / frame.size[0]
    pen = ImageDraw.Draw(image)
    for outcome in outcomes:
        for box in outcome.boxes:
            _outline(pen, _corners(box), scale)
        for line in outcome.lines:
            _outline(pen, line.quad, scale)
    return Picture(_data_uri(image), tuple(lines))


def _corners(box: Box) -> tuple[tuple[float, float], ...]:
    return (box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2)


def _outline(pen: ImageDraw, points: Sequence[tuple[float, float]], scale: float) -> None:
    """A yellow line on a black one, to be seen on any picture."""
    closed = [(x * scale, y * scale) for x, y in (*points, points[0])]
    pen.line(closed, fill=(0, 0, 0), width=5)
    pen.line(closed, fill=(240, 228, 66), width=2)


def _data_uri(image: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)  # type: ignore[attr-defined]
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def write_report(out: Path, sections: Sequence[Section]) -> Path:
    """Render `report.html` into `out`; every text is escaped."""
    import jinja2

    from vlmtool_resources import files

    template = files().joinpath("report", "demo.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(sections=sections)
    path = out / "report.html"
    write_atomically(path, page.encode())
    return path
