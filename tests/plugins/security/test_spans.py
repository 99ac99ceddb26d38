"""Spans from samples: hysteresis, merging, rest, and properties that hold for any input."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_security.spans import (
    Sample,
    Span,
    drop_settled,
    find_spans,
    light_changes,
    merge_spans,
    merge_windows,
)

ENTER = 0.01


def samples(areas: list[float], step: float = 0.1) -> list[Sample]:
    return [Sample(i * step, area, box=(0, 0, 1, 1)) for i, area in enumerate(areas)]


Times = list[tuple[float, float]]


def times(spans: list[Span]) -> Times:
    return [(round(s.start_s, 3), round(s.end_s, 3)) for s in spans]


def found(
    areas: list[float], gap: float = 0.35, shortest: float = 0.0
) -> list[tuple[float, float]]:
    spans = find_spans(samples(areas), enter=ENTER, min_duration_s=shortest, merge_gap_s=gap)
    return times(spans)


def test_a_span_goes_on_above_half_the_threshold():
    assert found([0, 0.006, 0.02, 0.02, 0.006, 0.004, 0]) == [(0.1, 0.4)]


def test_one_odd_frame_is_no_event():
    assert found([0, 0, 0.5, 0, 0]) == []
    assert found([0, 0.5, 0.006, 0.5, 0]) == []


def test_gaps_are_merged_and_short_spans_left_out():
    areas = [0.02, 0.02, 0, 0, 0.02, 0.02, 0, 0, 0, 0, 0, 0.02, 0.02]
    assert found(areas) == [(0.0, 0.5), (1.1, 1.2)]
    assert found(areas, shortest=0.3) == [(0.0, 0.5)]
    assert found(areas, gap=10) == [(0.0, 1.2)]
    assert found([]) == []


def test_the_peak_is_where_most_changes():
    span = find_spans(
        samples([0.02, 0.05, 0.3, 0.05]), enter=ENTER, min_duration_s=0, merge_gap_s=0
    )[0]
    assert (span.peak_s, span.strength) == (0.2, 0.3)


def test_what_came_to_rest_ends_the_span_where_it_stopped():
    moving = [Sample(i / 10, 0.05) for i in range(20)]
    resting = [Sample(2 + i / 10, 0.05) for i in range(300)]
    settled = Sample(32.0, 0.0, settled=(0.05, 1.9))
    spans = find_spans([*moving, *resting, settled], enter=ENTER, min_duration_s=0, merge_gap_s=1)
    assert times(spans) == [(0.0, 2.9)]


def test_what_moves_beside_a_thing_at_rest_goes_on():
    both = [Sample(i / 10, 0.05 + 0.03) for i in range(100)]
    dropped = drop_settled([*both, Sample(10.0, 0.03, settled=(0.05, 1.0))])
    assert dropped[50].area == pytest.approx(0.03)
    assert dropped[5].area == pytest.approx(0.08)


def test_a_change_of_light_counts_once():
    lights = [0, 5, 25, 19, 21, 15, 9, 0, -30, -30]
    series = [Sample(i, light=value) for i, value in enumerate(lights)]
    assert light_changes(series) == [2, 8]
    assert light_changes([Sample(0), Sample(1, relit=True), Sample(2)]) == [1]


span_lists = st.lists(
    st.tuples(
        st.floats(0, 1000, allow_nan=False), st.floats(0, 50), st.floats(0, 1, allow_nan=False)
    ).map(lambda v: Span(v[0], v[0] + v[1], v[0] + v[1] / 2, v[2])),
    max_size=30,
)


@given(span_lists, st.floats(0, 20))
def test_merged_spans_are_sorted_apart_and_cover_what_went_in(spans: list[Span], gap: float):
    merged = merge_spans(spans, gap)
    for first, second in itertools.pairwise(merged):
        assert second.start_s - first.end_s > gap
    for span in spans:
        assert any(m.start_s <= span.start_s and span.end_s <= m.end_s for m in merged)
    for m in merged:
        assert m.start_s in {s.start_s for s in spans}
        assert m.end_s in {s.end_s for s in spans}
        assert m.start_s <= m.peak_s <= m.end_s
        inside = [s.strength for s in spans if m.start_s <= s.start_s <= m.end_s]
        assert m.strength == max(inside)


@given(span_lists, st.floats(0, 20), st.randoms())
def test_merging_is_idempotent_and_forgets_the_order(spans: list[Span], gap: float, random):
    once = merge_spans(spans, gap)
    assert merge_spans(once, gap) == once
    shuffled = list(spans)
    random.shuffle(shuffled)
    assert times(merge_spans(shuffled, gap)) == times(once)


@given(st.lists(st.floats(0, 0.05, allow_nan=False), max_size=80), st.floats(0, 2), st.floats(0, 2))
def test_spans_lie_within_the_samples_and_keep_the_rules(areas, gap, shortest):
    series = samples(areas)
    spans = find_spans(series, enter=ENTER, min_duration_s=shortest, merge_gap_s=gap)
    for span in spans:
        assert 0 <= span.start_s < span.end_s <= series[-1].time_s
        assert span.duration_s >= shortest
        assert span.strength >= ENTER
    for first, second in itertools.pairwise(spans):
        assert second.start_s - first.end_s > gap


@given(st.lists(st.tuples(st.floats(0, 99), st.floats(0, 99)).map(sorted).map(tuple), max_size=20))
def test_windows_are_joined(windows):
    merged = merge_windows(windows)
    assert all(b[0] > a[1] for a, b in itertools.pairwise(merged))
    assert all(any(a <= s and e <= b for a, b in merged) for s, e in windows)
