"""From samples of movement to time spans: hysteresis, merging, and what to leave out. Pure."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Rectangle = tuple[float, float, float, float]

# How long after its last movement a thing that came to rest still counts as an event, seconds.
REST_TAIL_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What the motion gate says of one frame.

    time_s : file time (pts)
    area : part of the watched area that differs from the background, 0 to 1
    moving : part of the watched area that changed within the last 0.4 s and belongs to `area`
    box : the largest moving region, xyxy in source pixels; None when nothing differs
    light : change of exposure against the background, in grey levels
    relit : the whole picture changed its light and the background was learned anew
    settled : (area, since when it rests) of what now counts as background, else None
    """

    time_s: float
    area: float = 0.0
    moving: float = 0.0
    box: Rectangle | None = None
    light: float = 0.0
    relit: bool = False
    settled: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time with movement; the box is the moving region at `peak_s`.

    strength : largest `Sample.area` within, 0 to 1
    """

    start_s: float
    end_s: float
    peak_s: float
    strength: float
    box: Rectangle | None = None

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def find_spans(
    samples: Sequence[Sample], *, enter: float, min_duration_s: float, merge_gap_s: float
) -> list[Span]:
    """The spans with movement, in order of time and disjoint.

    enter : area from which a span begins; it goes on while the area is above half of that
    min_duration_s : shorter spans are left out, after merging
    merge_gap_s : spans that are no further apart become one

    A span needs two samples in a row above `enter`: one odd frame is no event.
    """
    runs = _runs(drop_settled(samples), leave=enter / 2)
    spans = [_span(run) for run in runs if _enters(run, enter)]
    merged = merge_spans(spans, merge_gap_s)
    return [span for span in merged if span.duration_s >= min_duration_s]


def drop_settled(samples: Sequence[Sample]) -> list[Sample]:
    """Take out of each sample the area of what was later found to have come to rest before it."""
    result = list(samples)
    for later, sample in enumerate(samples):
        if sample.settled is None:
            continue
        area, since_s = sample.settled
        for index in range(later - 1, -1, -1):
            if result[index].time_s <= since_s + REST_TAIL_S:
                break
            left = max(0.0, result[index].area - area)
            result[index] = dataclasses.replace(result[index], area=left)
    return result


def _runs(samples: Iterable[Sample], leave: float) -> list[list[Sample]]:
    runs: list[list[Sample]] = []
    inside = False
    for sample in samples:
        if sample.area < leave or sample.area <= 0:
            inside = False
        elif inside:
            runs[-1].append(sample)
        else:
            runs.append([sample])
            inside = True
    return runs


def _enters(run: Sequence[Sample], enter: float) -> bool:
    above = [sample.area >= enter for sample in run]
    return any(first and second for first, second in itertools.pairwise(above))


def _span(run: Sequence[Sample]) -> Span:
    peak = max(run, key=lambda sample: (sample.area, -sample.time_s))
    return Span(run[0].time_s, run[-1].time_s, peak.time_s, peak.area, peak.box)


def merge_spans(spans: Iterable[Span], gap_s: float) -> list[Span]:
    """Join spans that overlap or are no more than `gap_s` seconds apart."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start_s, s.end_s)):
        if merged and span.start_s - merged[-1].end_s <= gap_s:
            merged[-1] = _join(merged[-1], span)
        else:
            merged.append(span)
    return merged


def _join(first: Span, second: Span) -> Span:
    peak = max(first, second, key=lambda span: span.strength)
    return Span(
        min(first.start_s, second.start_s),
        max(first.end_s, second.end_s),
        peak.peak_s,
        peak.strength,
        peak.box,
    )


def merge_windows(
    windows: Iterable[tuple[float, float]], gap_s: float = 0.0
) -> list[tuple[float, float]]:
    """Join (start, end) windows that overlap or are no more than `gap_s` seconds apart."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(windows):
        if merged and start - merged[-1][1] <= gap_s:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def light_changes(samples: Sequence[Sample], *, grey_levels: float = 20.0) -> list[float]:
    """Times at which the exposure began to differ by `grey_levels`, or all light changed."""
    times: list[float] = []
    different = False
    for sample in samples:
        strong = sample.relit or abs(sample.light) > grey_levels
        if strong and not different:
            times.append(sample.time_s)
        # Half the threshold ends it, so that a value around the threshold counts once.
        different = strong or (different and abs(sample.light) > grey_levels / 2)
    return times
