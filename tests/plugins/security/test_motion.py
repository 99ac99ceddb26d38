"""The motion gate and the scan on drawn clips: what is an event, and what must not be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from security_clips import HEIGHT, WIDTH, clip, passing, scene, square

from vlmtool_core.api import CancelToken, Region, UsageError, open_media
from vlmtool_security.motion import (
    SENSITIVITY,
    MotionGate,
    fit_exposure,
    is_ghost,
    structure_similarity,
    watch_mask,
)
from vlmtool_security.scanning import Scan, ScanSettings, needs_full_pass, scan_footage
from vlmtool_security.spans import light_changes

NORMAL = ScanSettings(SENSITIVITY["normal"])


def look(path: Path, settings: ScanSettings = NORMAL, regions: tuple[Region, ...] = ()) -> Scan:
    with open_media(path) as footage:
        return scan_footage(footage, settings, regions)


def spans(scan: Scan) -> list[tuple[float, float]]:
    return [(span.start_s, span.end_s) for span in scan.spans]


@pytest.mark.parametrize("key_frame_every", [10, 200])
def test_a_passing_square_is_one_span_at_the_right_time_and_place(tmp_path, key_frame_every):
    path = clip(tmp_path / "a.mp4", passing(3, 6), key_frame_every=key_frame_every)
    scan = look(path)
    assert scan.full == (key_frame_every == 200)
    (span,) = scan.spans
    assert span.start_s == pytest.approx(3.0, abs=0.25)
    assert span.end_s == pytest.approx(6.0, abs=0.25)
    x1, y1, x2, y2 = span.box
    where = (span.peak_s - 3) / 3 * (WIDTH - 34)
    assert (x1 + x2) / 2 == pytest.approx(where + 17, abs=12)
    assert (y1, y2) == (pytest.approx(80, abs=8), pytest.approx(114, abs=8))
    assert scan.asked == scan.delivered
    assert scan.missing == 0


def test_the_key_frame_pass_looks_closely_only_around_hits(tmp_path):
    path = clip(tmp_path / "a.mp4", passing(20, 23), seconds=40)
    scan = look(path)
    assert not scan.full
    assert len(scan.spans) == 1
    assert len(scan.samples) < 150
    assert any(start < 20 and end > 23 for start, end in scan.windows)
    full = look(path, ScanSettings(SENSITIVITY["normal"], full=True))
    assert full.full
    assert len(full.samples) == 400
    assert spans(full)[0] == pytest.approx(spans(scan)[0], abs=0.11)


def test_two_passages_and_the_merge_gap(tmp_path):
    def draw(frame: np.ndarray, time_s: float) -> None:
        passing(2, 4)(frame, time_s)
        passing(6, 8)(frame, time_s)

    path = clip(tmp_path / "a.mp4", draw)
    assert len(look(path).spans) == 2
    assert len(look(path, ScanSettings(SENSITIVITY["normal"], merge_gap_s=3)).spans) == 1
    assert look(path, ScanSettings(SENSITIVITY["normal"], min_duration_s=5)).spans == []


def relight(factor: float, at_s: float):
    def draw(frame: np.ndarray, time_s: float) -> np.ndarray:
        return np.clip(frame * (factor if time_s >= at_s else 1.0), 0, 255).astype(np.uint8)

    return draw


def lamp(frame: np.ndarray, time_s: float) -> np.ndarray:
    """A lamp at one place, so that no single gain explains the new light."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    glow = 0.7 + np.exp(-((x - 80) ** 2 + (y - 60) ** 2) / 16200.0)
    lit = frame * (glow[..., None] if time_s >= 5 else 1.0)
    return np.clip(lit, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("draw", [relight(0.6, 5), relight(1.5, 5), lamp])
def test_a_jump_of_the_light_is_noted_and_is_no_event(tmp_path, draw):
    scan = look(clip(tmp_path / "a.mp4", draw))
    assert scan.spans == []
    (noted,) = light_changes(scan.samples)
    assert noted == pytest.approx(5, abs=1.01)


def test_somebody_who_stays_through_a_jump_of_the_light_is_still_one_event(tmp_path):
    def draw(frame: np.ndarray, time_s: float) -> np.ndarray:
        passing(3, 9)(frame, time_s)
        return lamp(frame, time_s)

    scan = look(clip(tmp_path / "a.mp4", draw))
    assert spans(scan) == [(pytest.approx(3, abs=0.3), pytest.approx(9, abs=0.3))]


@pytest.mark.parametrize("sensitivity", ["low", "normal", "high"])
def test_noise_of_a_still_camera_is_no_event(tmp_path, sensitivity):
    random = np.random.default_rng(1)

    def noisy(frame: np.ndarray, _: float) -> np.ndarray:
        return np.clip(frame + random.normal(0, 14, frame.shape), 0, 255).astype(np.uint8)

    scan = look(clip(tmp_path / "a.mp4", noisy), ScanSettings(SENSITIVITY[sensitivity]))
    assert scan.spans == []


def test_slow_dusk_and_a_trembling_camera_are_no_events(tmp_path):
    def draw(frame: np.ndarray, time_s: float) -> np.ndarray:
        dark = frame * (1 - 0.04 * time_s)
        return np.roll(dark.astype(np.uint8), round(np.sin(time_s * 20)), axis=1)

    assert look(clip(tmp_path / "a.mp4", draw)).spans == []


def test_who_is_there_at_the_start_and_leaves_gives_one_event_and_no_ghost(tmp_path):
    def draw(frame: np.ndarray, time_s: float) -> None:
        if time_s < 7:
            square(frame, 150 + max(0.0, time_s - 5) * 80, 80)

    scan = look(clip(tmp_path / "a.mp4", draw))
    assert spans(scan) == [(pytest.approx(5, abs=0.3), pytest.approx(7, abs=0.3))]


def test_a_thing_that_comes_to_rest_is_an_event_until_then(tmp_path):
    def draw(frame: np.ndarray, time_s: float) -> None:
        if time_s >= 3:
            square(frame, min((time_s - 3) * 70, 140), 80)

    scan = look(clip(tmp_path / "a.mp4", draw, seconds=45))
    assert spans(scan) == [(pytest.approx(3, abs=0.3), pytest.approx(6, abs=0.6))]


def test_sensitivity_decides_how_small_an_event_may_be(tmp_path):
    path = clip(tmp_path / "a.mp4", passing(3, 6, size=8))
    assert look(path).spans == []
    assert len(look(path, ScanSettings(SENSITIVITY["high"])).spans) == 1


def test_times_of_a_video_with_variable_frame_rate_are_its_own(tmp_path):
    times = [i / 30 for i in range(150)] + [5 + i / 5 for i in range(35)]
    path = clip(tmp_path / "vfr.mp4", passing(6, 10), times=times)
    scan = look(path)
    assert spans(scan) == [(pytest.approx(6, abs=0.3), pytest.approx(10, abs=0.3))]


def polygon(role: str, x1: float, y1: float, x2: float, y2: float) -> Region:
    return Region(role, "polygon", ((x1, y1), (x2, y1), (x2, y2), (x1, y2)))


def test_watch_and_ignore_areas(tmp_path):
    path = clip(tmp_path / "a.mp4", passing(3, 6))
    left_half = polygon("watch-area", 0, 0, WIDTH / 2, HEIGHT)
    (span,) = look(path, regions=(left_half,)).spans
    assert span.end_s == pytest.approx(4.7, abs=0.3)
    assert span.box[2] <= WIDTH / 2 + 4
    sky = polygon("watch-area", 0, 0, WIDTH, 60)
    assert look(path, regions=(sky,)).spans == []
    road = polygon("ignore-area", 0, 70, WIDTH, 125)
    assert look(path, regions=(road,)).spans == []
    with pytest.raises(UsageError) as caught:
        look(path, regions=(sky, polygon("ignore-area", 0, 0, WIDTH, HEIGHT)))
    assert caught.value.field == "watch-area"


def test_masks_follow_the_scale_of_the_grey_picture():
    mask = watch_mask([polygon("watch-area", 0, 0, 320, 240)], (160, 90), (640, 360))
    assert mask[:60, :80].all()
    assert not mask[62:].any()
    assert not mask[:, 82:].any()
    assert watch_mask([], (160, 90), (640, 360)) is None
    outside = watch_mask([polygon("ignore-area", -50, -50, -10, -10)], (160, 90), (640, 360))
    assert outside.all()


def test_stopping_keeps_what_was_seen(tmp_path):
    path = clip(tmp_path / "a.mp4", passing(1, 3), key_frame_every=200)
    cancel = CancelToken()

    def advance(time_s: float) -> None:
        if time_s > 6:
            cancel.cancel()

    with open_media(path) as footage:
        scan = scan_footage(footage, NORMAL, advance=advance, cancel=cancel)
    assert not scan.complete
    assert 6 < scan.reached_s < 7
    assert len(scan.spans) == 1
    assert scan.missing == 0


@pytest.mark.parametrize(
    ("keys", "full"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], False),
        ([0.0, 4.8, 9.6], True),
        ([0.0], True),
        ([], True),
        ([0, 1, 2, 3, 4, 5, 8, 9], False),
        ([i / 10 for i in range(100)], True),
    ],
)
def test_when_key_frames_will_do(keys, full):
    assert needs_full_pass(keys, [i / 10 for i in range(100)]) is full


def test_a_stretch_without_key_frames_is_looked_at_closely(tmp_path):
    """No key frame falls into the passage, because the gap between two of them hides it."""
    import av

    path = clip(tmp_path / "a.mp4", passing(21.2, 24.6), seconds=40, key_frame_every=10)
    thinned = tmp_path / "thinned.mkv"
    with av.open(str(path)) as source, av.open(str(thinned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is None:
                continue
            # Without their marks the key frames inside the passage are unknown to the index.
            if 20.5 < packet.pts * packet.time_base < 25.5:
                packet.is_keyframe = False
            packet.stream = stream
            target.mux(packet)
    scan = look(thinned)
    assert not scan.full
    assert spans(scan) == [(pytest.approx(21.2, abs=0.3), pytest.approx(24.6, abs=0.3))]


def test_exposure_is_fitted_in_spite_of_what_is_in_front():
    random = np.random.default_rng(5)
    background = random.uniform(30, 150, (180, 320)).astype(np.float32)
    grey = background * 1.3 - 12
    grey[40:120, 100:200] = 240
    gain, offset = fit_exposure(background, grey, np.ones((180, 320), bool))
    assert gain == pytest.approx(1.3, abs=0.02)
    assert offset == pytest.approx(-12, abs=2)
    flat = np.full((180, 320), 100, np.float32)
    assert fit_exposure(flat, flat + 9, np.ones((180, 320), bool)) == (1.0, pytest.approx(9))


def test_a_picture_without_any_usable_pixel_does_not_break_the_gate():
    gate = MotionGate(SENSITIVITY["normal"])
    for index, value in enumerate((0, 255, 0, 128)):
        sample = gate.update(np.full((90, 160), value, np.uint8), index / 10)
        assert 0 <= sample.area <= 1
        assert np.isfinite(sample.light)


def test_a_change_of_resolution_within_a_video_starts_anew():
    gate = MotionGate(SENSITIVITY["normal"])
    gate.update(np.zeros((90, 160), np.uint8), 0.0)
    assert gate.update(np.full((180, 320), 200, np.uint8), 0.1).area == 0


def test_ghost_and_structure():
    room = scene()[..., 0].astype(np.float32)
    with_thing = room.copy()
    with_thing[60:100, 100:140] = 240
    inside = np.zeros(room.shape, bool)
    inside[60:100, 100:140] = True
    assert is_ghost(room, with_thing, inside)
    assert not is_ghost(with_thing, room, inside)
    similarity, textured = structure_similarity(room * 0.6 + 5, room)
    assert similarity[textured].min() > 0.95
    other, _ = structure_similarity(scene(9)[..., 0].astype(np.float32), room)
    assert abs(float(other[textured].mean())) < 0.2
