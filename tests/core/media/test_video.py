"""Video: indices and times by pts, seeking equals decoding, rotation once, damage reported."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_clips import HEIGHT, WIDTH, numbered_frame, read_number, write_clip

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    UnsupportedMediaError,
)
from vlmtool_core.media import open_media
from vlmtool_core.media.video.source import VideoSource
from vlmtool_core.records import MediaKind
from vlmtool_core.settings import Settings, save_settings

FORMS = [
    ("libx264", ".mp4"),
    ("libx264", ".mkv"),
    ("libx264", ".ts"),
    ("libx264", ".avi"),
    ("libx264", ".h264"),
    ("mpeg4", ".mp4"),
    ("mpeg4", ".avi"),
    ("libvpx-vp9", ".webm"),
]


@pytest.mark.parametrize(("codec", "suffix"), FORMS)
def test_seeking_gives_exactly_what_decoding_gives(tmp_path: Path, codec: str, suffix: str) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", codec=codec)
    with VideoSource(path) as source:
        linear = list(source.frames())
        assert [frame.index for frame in linear] == list(range(40))
        assert [read_number(frame.pixels) for frame in linear] == list(range(40))
        assert source.report is not None
        assert not source.report.damaged
        assert source.info.warnings == ()
        steps = np.diff([frame.time_s for frame in linear])
        assert np.allclose(steps, 0.04, atol=1e-6)
    for order in (range(39, -1, -1), [0, 39, 20, 21, 5, 38, 1]):
        with VideoSource(path) as source:
            for index in order:
                frame = source.frame(index)
                assert frame.index == index
                assert frame.time_s == linear[index].time_s
                assert np.array_equal(frame.pixels, linear[index].pixels)


@settings(max_examples=25, deadline=None)
@given(order=st.lists(st.integers(0, 59), min_size=1, max_size=12))
def test_any_order_of_frames(order: list[int], long_gop_clip: Path) -> None:
    with VideoSource(long_gop_clip) as source:
        assert [read_number(source.frame(index).pixels) for index in order] == order
    with VideoSource(long_gop_clip) as source:
        chosen = [(f.index, read_number(f.pixels)) for f in source.frames(order)]
        assert chosen == [(index, index) for index in sorted(set(order))]


@pytest.fixture(scope="session")
def long_gop_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", 60, gop=55, b_frames=3)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied_once(tmp_path: Path, rotation: int) -> None:
    path = write_clip(tmp_path / "turned.mp4", 6, rotation=rotation)
    with VideoSource(path) as source:
        size = (HEIGHT, WIDTH) if rotation % 180 else (WIDTH, HEIGHT)
        assert (source.info.width, source.info.height) == size
        frame = source.frame(3)
        assert frame.size == size
        assert frame.pixels.shape == (size[1], size[0], 3)
        expected = np.rot90(numbered_frame(3), rotation // 90)
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 12
        small = source.frame(3, max_side=48)
        assert max(small.pixels.shape) == 48
        assert small.size == size
        _, _, grey = next(source.luma(height=30))
        assert grey.shape[0] == 30
        assert (grey.shape[1] > 30) == (size[0] > size[1])


def test_rotation_agrees_with_opencv(tmp_path: Path) -> None:
    import cv2

    path = write_clip(tmp_path / "turned.mp4", 3, rotation=90)
    capture = cv2.VideoCapture(str(path))
    seen = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
    capture.release()
    pixels = open_media(path).frame(0).pixels
    assert pixels.shape == seen.shape
    assert np.abs(pixels.astype(int) - seen).mean() < 2


def test_times_of_variable_rate_and_late_start(tmp_path: Path) -> None:
    times = [5000 + n * 33 + max(0, n - 15) * 170 for n in range(30)]
    path = write_clip(tmp_path / "vfr.mp4", 30, times_ms=times)
    with VideoSource(path) as source:
        expected = [t / 1000 for t in times]
        assert source.times() == pytest.approx(expected, abs=1e-3)
        assert [f.time_s for f in source.frames()] == pytest.approx(expected, abs=1e-3)
        assert source.frame(29).time_s == pytest.approx(expected[29], abs=1e-3)
        assert source.info.facts["start_s"] == pytest.approx(5.0)
        assert read_number(source.frame(22).pixels) == 22


def test_keyframes_are_frames_of_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 50, gop=10)
    with VideoSource(path) as source:
        keys = list(source.keyframes())
        assert 5 <= len(keys) < 15
        assert [read_number(frame.pixels) for frame in keys] == [frame.index for frame in keys]


def test_luma_follows_the_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 20, width=320, height=240)
    with VideoSource(path) as source:
        grey = list(source.luma(height=60))
        assert [index for index, _, _ in grey] == list(range(20))
        assert [time for _, time, _ in grey] == pytest.approx(source.times())
        assert all(g.shape == (60, 80) and g.dtype == np.uint8 for _, _, g in grey)
        assert grey[1][2][32, 5] > 200
        assert grey[0][2][32, 5] < 60
        part = list(source.luma(height=60, start=7, stop=11))
        assert [index for index, _, _ in part] == [7, 8, 9, 10]
        assert np.array_equal(part[0][2], grey[7][2])


def test_frames_outside_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 5)
    with VideoSource(path) as source:
        for index in (-1, 5, 1000):
            with pytest.raises(IndexError, match="no frame"):
                source.frame(index)


@pytest.mark.parametrize("name", ["car-detection.mp4", "one-by-one-person-detection.mp4"])
def test_shared_videos_have_the_stated_facts(shared_data: Path, name: str) -> None:
    with (shared_data / "video" / "facts.csv").open() as file:
        facts = next(row for row in csv.DictReader(file) if row["file"] == name)
    path = shared_data / "video" / name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
    with VideoSource(path) as source:
        info = source.info
        assert info.kind is MediaKind.VIDEO
        assert (info.width, info.height) == (768, 432)
        assert info.frame_count == int(facts["frames_in_header"])
        assert info.duration_s == pytest.approx(float(facts["duration_s"]))
        assert info.warnings == ()
        delivered = [(i, t) for i, t, _ in source.luma(height=54)]
        assert len(delivered) == int(facts["frames_decoded"])
        assert delivered[0][1] == pytest.approx(float(facts["first_pts_s"]))
        assert delivered[-1][1] == pytest.approx(float(facts["last_pts_s"]))
        keys = sum(1 for _ in source.luma(height=54, keyframes_only=True))
        assert keys == int(facts["key_frames"])
        last = source.frame(len(delivered) - 1, max_side=256)
        assert last.time_s == pytest.approx(float(facts["last_pts_s"]))


def test_seeking_in_a_real_video_equals_decoding(shared_data: Path) -> None:
    path = shared_data / "video" / "car-detection.mp4"
    wanted = [0, 59, 60, 61, 119, 200, 376]
    with VideoSource(path) as source:
        linear = {}
        for frame in source.frames(max_side=192):
            if frame.index in wanted:
                linear[frame.index] = frame
    with VideoSource(path) as source:
        for index in reversed(wanted):
            frame = source.frame(index, max_side=192)
            assert np.array_equal(frame.pixels, linear[index].pixels)


def faststart(tmp_path: Path, count: int = 120) -> bytes:
    """An MP4 whose index comes first, so that it opens when its end is missing."""
    import av

    plain = write_clip(tmp_path / "plain.mp4", count, width=320, height=240)
    target = tmp_path / "fast.mp4"
    with (
        av.open(str(plain)) as source,
        av.open(str(target), "w", options={"movflags": "faststart"}) as sink,
    ):
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    return target.read_bytes()


def test_a_truncated_video_says_how_much_is_missing(tmp_path: Path) -> None:
    data = faststart(tmp_path)
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    with VideoSource(path) as source:
        (warning,) = source.info.warnings
        assert warning.startswith("truncated: ")
        assert warning.endswith("of 120 frames are in the file")
        present = source.info.frame_count
        assert present is not None
        assert 10 < present < 110
        frames = [read_number(frame.pixels) for frame in source.frames()]
        assert abs(len(frames) - present) <= 4
        assert frames[: len(frames) - 2] == list(range(len(frames) - 2))


def test_a_video_without_its_index_is_damaged(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DamagedMediaError):
        open_media(path)


def test_damage_inside_a_video_is_counted(tmp_path: Path) -> None:
    data = bytearray(faststart(tmp_path))
    start = data.find(b"mdat") + 4
    random = np.random.default_rng(3)
    for place in random.integers(start + 3000, len(data), 900):
        data[place] = int(random.integers(0, 256))
    path = tmp_path / "hurt.mp4"
    path.write_bytes(data)
    with VideoSource(path) as source:
        frames = list(source.frames())
        assert source.report is not None
        assert source.report.damaged
        assert any(warning.startswith("damaged: ") for warning in source.info.warnings)
        assert 0 < len(frames) <= 120
        assert any(frame.provenance.get("corrupt") for frame in frames) or len(frames) < 120


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_flipped_bytes_give_frames_or_a_media_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, long_gop_clip: Path
) -> None:
    content = bytearray(long_gop_clip.read_bytes())
    for _ in range(data.draw(st.integers(1, 30))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flipped") / "clip.mp4"
    path.write_bytes(content)
    error = play_all(path)
    assert error is None or error.path is not None


def play_all(path: Path) -> MediaError | None:
    try:
        with open_media(path) as source:
            for frame in source.frames(max_side=64):
                assert frame.pixels.dtype == np.uint8
    except MediaError as error:
        return error
    return None


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UnsupportedMediaError, match="no picture track"):
        open_media(path)


def test_budgets_hold_for_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 10)
    save_settings(Settings(max_frames=5))
    with pytest.raises(BudgetExceededError, match="max_frames"):
        open_media(path)
