"""Gets the frames that a report shows, in one pass, and has the peaks named."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.api import DamagedMediaError
from vlmtool_security.outputs import Outputs
from vlmtool_security.pictures import Tile, crop, jpeg, sheet, tile
from vlmtool_security.report import SpanReport, VideoReport
from vlmtool_security.scanning import Footage
from vlmtool_security.spans import Rectangle, Sample
from vlmtool_security.tags import Tagger

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

FRAMES_PER_SHEET = 6
FRAMES_PER_OVERVIEW = 9
_THUMBNAIL_QUALITY = 75


def illustrate(
    report: VideoReport, footage: Footage, number: int, outputs: Outputs, tagger: Tagger | None
) -> None:
    """Write the overview and a sheet per event, and fill in thumbnails and tags.

    Frames that cannot be decoded are left out of the sheets.
    """
    times = footage.times()
    overview = spread(0, len(times) - 1, FRAMES_PER_OVERVIEW)
    sheets = {span.number: _sheet_frames(span, times) for span in report.spans}
    looks: dict[int, list[_Look]] = {}
    for span in report.spans if tagger is not None else ():
        for look in _looks(span, report.scan.samples, times):
            looks.setdefault(look.frame, []).append(look)
    peaks = {span.peak_frame: span for span in report.spans}
    wanted = {*overview, *peaks, *looks, *(i for frames in sheets.values() for i in frames)}
    tiles: dict[int, Tile] = {}
    crops: dict[int, list[np.ndarray]] = {span.number: [] for span in report.spans}
    try:
        for frame in footage.frames(sorted(wanted)):
            tiles[frame.index] = tile(frame, times[frame.index])
            event = peaks.get(frame.index)
            if event is not None and event.span.box is not None:
                tiles[-event.number] = tile(frame, times[frame.index], event.span.box)
            for look in looks.get(frame.index, ()):
                crops[look.event].append(crop(frame, look.box))
    except DamagedMediaError:
        # The scan has seen movement in grey; the warnings of the video tell of the damage.
        log.warning("%s: no frame for the sheets can be decoded", report.path)
    _write(report, number, outputs, tiles, overview, sheets)
    if tagger is not None:
        for span, tags in zip(report.spans, tagger.tags(list(crops.values())), strict=True):
            span.tags = tags


@dataclass(frozen=True)
class _Look:
    """What the model is shown of an event: a box in one frame."""

    event: int
    frame: int
    box: Rectangle


def _looks(span: SpanReport, samples: Sequence[Sample], times: list[float]) -> list[_Look]:
    """The strongest moment in each third of the event; the peak is one of them."""
    start, duration = span.span.start_s, span.span.duration_s
    parts: dict[int, Sample] = {}
    for sample in samples:
        if sample.box is None or not start <= sample.time_s <= span.span.end_s:
            continue
        part = min(2, int(3 * (sample.time_s - start) / duration)) if duration > 0 else 0
        if part not in parts or sample.area > parts[part].area:
            parts[part] = sample
    return [
        _Look(span.number, max(0, bisect_right(times, sample.time_s + 1e-6) - 1), sample.box)
        for sample in parts.values()
        if sample.box is not None
    ]


def _sheet_frames(span: SpanReport, times: list[float]) -> list[int]:
    first = bisect_left(times, span.span.start_s - 1e-6)
    last = max(first, bisect_right(times, span.span.end_s + 1e-6) - 1)
    frames = spread(first, last, FRAMES_PER_SHEET)
    nearest = min(range(len(frames)), key=lambda i: abs(frames[i] - span.peak_frame))
    frames[nearest] = span.peak_frame
    return sorted(set(frames))


def spread(first: int, last: int, count: int) -> list[int]:
    """At most `count` whole numbers from `first` to `last`, both included, evenly apart."""
    if last <= first or count < 2:
        return [first]
    step = (last - first) / (count - 1)
    return sorted({round(first + step * i) for i in range(count)})


def _write(
    report: VideoReport,
    number: int,
    outputs: Outputs,
    tiles: dict[int, Tile],
    overview: list[int],
    sheets: dict[int, list[int]],
) -> None:
    found = [tiles[index] for index in overview if index in tiles]
    if found:
        report.overview = outputs.write(outputs.picture(number, "overview.jpg"), sheet(found))
    for span in report.spans:
        shown = [
            tiles.get(-span.number, tiles[index]) if index == span.peak_frame else tiles[index]
            for index in sheets[span.number]
            if index in tiles
        ]
        if not shown:
            continue
        place = outputs.picture(number, f"event-{span.number:03d}.jpg")
        span.sheet = outputs.write(place, sheet(shown))
        peak = tiles.get(-span.number, shown[0])
        span.thumbnail = jpeg(peak.picture, quality=_THUMBNAIL_QUALITY)
