"""Gets the frames that a report shows, in one pass, and has the peaks named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_core.api import DamagedMediaError
from vlmtool_security.outputs import Outputs
from vlmtool_security.pictures import Tile, crop, jpeg, sheet, tile
from vlmtool_security.report import SpanReport, VideoReport
from vlmtool_security.scanning import Footage
from vlmtool_security.tags import Tagger

if TYPE_CHECKING:
    import numpy as np

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
    peaks = {span.peak_frame: span for span in report.spans}
    wanted = sorted({*overview, *peaks, *(i for frames in sheets.values() for i in frames)})
    tiles: dict[int, Tile] = {}
    crops: dict[int, np.ndarray] = {}
    try:
        for frame in footage.frames(wanted):
            span = peaks.get(frame.index)
            tiles[frame.index] = tile(frame, times[frame.index])
            if span is not None and span.span.box is not None:
                crops[span.number] = crop(frame, span.span.box)
                tiles[-span.number] = tile(frame, times[frame.index], span.span.box)
    except DamagedMediaError:
        # The scan has seen movement in grey; the warnings of the video tell of the damage.
        wanted = []
    _write(report, number, outputs, tiles, overview, sheets)
    if tagger is not None and crops:
        named = tagger.tags(list(crops.values()))
        by_number = dict(zip(crops, named, strict=True))
        for span in report.spans:
            span.tags = by_number.get(span.number, span.tags)


def _sheet_frames(span: SpanReport, times: list[float]) -> list[int]:
    from bisect import bisect_left, bisect_right

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
