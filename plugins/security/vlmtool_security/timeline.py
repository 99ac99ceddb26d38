"""The HTML timeline: one file without scripts or anything from outside, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vlmtool_core.api import ErrorInfo
from vlmtool_security.pictures import clock
from vlmtool_security.report import VideoReport
from vlmtool_security.spans import light_changes

if TYPE_CHECKING:
    from jinja2 import Template

_TICKS = 6


def timeline(
    videos: Sequence[VideoReport],
    failures: Sequence[ErrorInfo],
    *,
    version: str,
    model: str,
    intended_use: str,
    complete: bool,
) -> bytes:
    """The page, UTF-8. Names and messages are escaped; pictures are in it or lie beside it."""
    page = _template().render(
        videos=[_video(number, video) for number, video in enumerate(videos, 1)],
        failures=failures,
        version=version,
        model=model,
        intended_use=intended_use,
        complete=complete,
        spans=sum(len(video.spans) for video in videos),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return page.encode()


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["clock"] = clock
    source = files("vlmtool_security").joinpath("timeline.html.j2")
    return environment.from_string(source.read_text(encoding="utf-8"))


def _video(number: int, video: VideoReport) -> dict[str, Any]:
    length = max(video.duration_s, video.scan.reached_s - video.first_s, 0.001)

    def place(time_s: float) -> float:
        return round(100 * min(1.0, max(0.0, (time_s - video.first_s) / length)), 3)

    return {
        "number": number,
        "name": video.path.name,
        "path": str(video.path),
        "link": video.path.resolve().as_uri(),
        "report": video,
        "facts": video.facts,
        "overview": quote(video.overview),
        "ticks": [
            (round(100 * i / _TICKS, 2), clock(video.first_s + length * i / _TICKS))
            for i in range(_TICKS + 1)
        ],
        "lights": [(place(t), clock(t)) for t in light_changes(video.scan.samples)],
        "spans": [
            {
                "report": span,
                "left": place(span.span.start_s),
                "width": max(0.3, round(place(span.span.end_s) - place(span.span.start_s), 3)),
                "sheet": quote(span.sheet),
                "seek": f"#t={span.span.start_s:.1f},{span.span.end_s:.1f}",
                "picture": base64.b64encode(span.thumbnail).decode(),
            }
            for span in video.spans
        ],
    }
