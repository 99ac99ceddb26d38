"""The demo's report: one HTML page with pictures beside it, no scripts, no outside resources."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Frame, Outcome

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
    scale = image.width / frame.size[0]
    pen = ImageDraw.Draw(image)
    width = max(2, image.width // 200)
    for outcome in outcomes:
        for box in outcome.boxes:
            corners = tuple(value * scale for value in box.xyxy)
            pen.rectangle(corners, outline=(230, 159, 0), width=width)
        for line in outcome.lines:
            quad = [(x * scale, y * scale) for x, y in line.quad]
            pen.line([*quad, quad[0]], fill=(86, 180, 233), width=width)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return Picture(_data_uri(image), tuple(lines))


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
