"""Gets the frames that a report shows, event by event, and has the events named."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.api import DamagedMediaError, Frame
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
# So many events are named in one go; their crops are held in memory.
EVENTS_AT_A_TIME = 16
_THUMBNAIL_QUALITY = 75


def illustrate(
    report: VideoReport, footage: Footage, number: int, outputs: Outputs, tagger: Tagger | None
) -> None:
    """Write the overview and a sheet per event, and fill in thumbnails and tags.

    Frames that cannot be decoded are left out of the sheets.
    """
    times = footage.times()
    overview = [
        tile(frame, times[frame.index])
        for frame in _frames(footage, spread(0, len(times) - 1, FRAMES_PER_OVERVIEW))
    ]
    if overview:
        report.overview = outputs.write(outputs.picture(number, "overview.jpg"), sheet(overview))
    for first in range(0, len(report.spans), EVENTS_AT_A_TIME):
        events = report.spans[first : first + EVENTS_AT_A_TIME]
        crops = [
            _illustrate_event(event, report.scan.samples, footage, times, outputs, number)
            for event in events
        ]
        if tagger is not None:
            for event, tags in zip(events, tagger.tags(crops), strict=True):
                event.tags = tags


def _frames(footage: Footage, indices: Sequence[int]) -> Iterator[Frame]:
    try:
        yield from footage.frames(indices)
    except DamagedMediaError as error:
        # The scan has seen movement in grey; the warnings of the video tell of the damage.
        log.warning("no frame of %s can be decoded: %s", list(indices), error)


def _illustrate_event(
    event: SpanReport,
    samples: Sequence[Sample],
    footage: Footage,
    times: list[float],
    outputs: Outputs,
    number: int,
) -> list[np.ndarray]:
    """Write the sheet of one event; return the crops for the model."""
    shown = _sheet_frames(event, times)
    looks = {look.frame: look.box for look in _looks(event, samples, times)}
    tiles: list[Tile] = []
    crops: list[np.ndarray] = []
    for frame in _frames(footage, sorted({*shown, *looks})):
        time_s = times[frame.index]
        if frame.index in shown:
            at_peak = frame.index == event.peak_frame
            tiles.append(tile(frame, time_s, event.span.box if at_peak else None))
            if at_peak:
                event.thumbnail = jpeg(tiles[-1].picture, quality=_THUMBNAIL_QUALITY)
        if frame.index in looks:
            crops.append(crop(frame, looks[frame.index]))
    if tiles:
        place = outputs.picture(number, f"event-{event.number:03d}.jpg")
        event.sheet = outputs.write(place, sheet(tiles))
    return crops


@dataclass(frozen=True)
class _Look:
    """What the model is shown of an event: a box in one frame."""

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
        _Look(max(0, bisect_right(times, sample.time_s + 1e-6) - 1), sample.box)
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
