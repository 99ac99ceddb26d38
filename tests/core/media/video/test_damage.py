"""What is wrong with a recording is counted, placed in time, remembered, and has a remedy."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from media_clips import read_number, write_clip
from video_clips import encode, remux

from vlmtool_core.cli.media import media
from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.verifying import verify
from vlmtool_core.media.video import cache
from vlmtool_core.media.video import index as index_module
from vlmtool_core.media.video.damage import Damage, DamageKind, DamageReport, described
from vlmtool_core.media.video.source import VideoSource


def fast(path: Path, count: int = 100) -> Path:
    """An MP4 that opens when its end is missing."""
    plain = encode(path.with_name("plain.mp4"), count, gop=20)
    return remux(plain, path, options={"movflags": "faststart"})


def hurt(path: Path, places: range, seed: int = 3) -> None:
    """Overwrite bytes all over those places of a file, by fractions of a hundred."""
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    first, last = (len(data) * end // 100 for end in (places.start, places.stop))
    for place in random.integers(first, last, 400):
        data[place] = int(random.integers(0, 256))
    path.write_bytes(data)


def test_broken_frames_are_placed_in_time(tmp_path: Path) -> None:
    path = fast(tmp_path / "clip.mp4")
    hurt(path, range(45, 65))
    with VideoSource(path) as source:
        assert source.report is None
        assert list(source.check())
        report = source.report
        assert report is not None
        assert report.damaged
        assert report.expected == 100
        assert report.corrupt + (100 - report.delivered) + report.errors > 3
        places = [p for p in source.damage() if p.kind is not DamageKind.GAP]
        assert places
        for place in places:
            assert 0.2 < place.start_s <= place.end_s < 3.8
        notes = source.info.warnings
        assert any(note.startswith("damaged: ") and " s" in note for note in notes)
        broken = {f.index for f in source.frames() if f.provenance.get("corrupt")}
        assert sum(p.frames for p in places if p.kind is DamageKind.CORRUPT) == len(broken)


def test_what_a_pass_met_is_remembered(tmp_path: Path) -> None:
    path = fast(tmp_path / "clip.mp4")
    hurt(path, range(45, 65))
    with VideoSource(path) as source:
        list(source.luma(32))
        before, notes = source.damage(), source.info.warnings
        assert len(notes) >= 1
    with VideoSource(path) as again:
        assert again.index.exact
        assert again.damage() == before
        assert again.info.warnings == notes


def test_the_index_is_read_from_the_packets_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fast(tmp_path / "clip.mp4")
    with VideoSource(path) as source:
        known = source.index

    def unwanted(_path: Path) -> None:
        raise AssertionError("the packets were read again")

    monkeypatch.setattr("vlmtool_core.media.video.source.build_index", unwanted)
    moved = tmp_path / "elsewhere" / "other name.mp4"
    moved.parent.mkdir()
    shutil.move(path, moved)
    with VideoSource(moved) as source:
        assert source.index == known
        assert read_number(source.frame(57).pixels) == 57


def test_a_file_with_other_content_has_another_index(tmp_path: Path) -> None:
    path = fast(tmp_path / "clip.mp4")
    first = cache.content_key(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert cache.content_key(path) != first


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_broken_cache_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = fast(tmp_path / "clip.mp4")
    with VideoSource(path) as source:
        known = source.index
        list(source.check())
    key = cache.content_key(path)
    kept = list((cache.paths.cache_dir() / "videos").rglob(f"{key}.*"))
    assert len(kept) == 2
    for file in kept:
        file.write_bytes(content)
    with VideoSource(path) as source:
        assert source.index == known
        assert source.report is None


def test_reports_survive_the_disk() -> None:
    report = DamageReport(9, 7, 1, 2, (Damage(DamageKind.CORRUPT, 0.1, 0.2, 1),))
    assert DamageReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_many_places_are_told_in_one_line() -> None:
    places = [Damage(DamageKind.CORRUPT, n + 0.5, n + 0.6, 2) for n in range(5)]
    (line,) = described(places)
    assert line == (
        "damaged: 10 frames are decoded with errors, at 0.50 s, 1.50 s, 2.50 s and 2 more places"
    )


def test_an_unfinished_recording_says_what_can_be_done(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DamagedMediaError, match="moov") as caught:
        open_media(path)
    assert "repair" in caught.value.remedy
    assert "original" in caught.value.remedy


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".flv"])
def test_a_file_cut_off_is_told_by_the_length_it_states(tmp_path: Path, suffix: str) -> None:
    path = encode(tmp_path / f"clip{suffix}", 120, b_frames=0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (item,) = scan([path])
    result = verify(item)
    assert result.verdict == "damaged"
    (cut,) = (place for place in result.damage if place.kind is DamageKind.CUT)
    assert 0.5 < cut.start_s < 4.0
    assert cut.end_s == pytest.approx(4.8, abs=0.2)


def test_a_cut_mp4_says_where_it_ends(tmp_path: Path) -> None:
    path = fast(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with VideoSource(path) as source:
        (cut,) = [p for p in (source.index, source.damage())[1] if p.kind is DamageKind.CUT]
        assert cut.frames == 100 - len(source.index)
        assert cut.start_s == source.times()[-1]
        assert cut.end_s == pytest.approx(4.0, abs=0.1)


def test_verify_and_info_report_damage(tmp_path: Path) -> None:
    path = fast(tmp_path / "clip.mp4")
    hurt(path, range(45, 65))
    run = CliRunner()
    result = run.invoke(media, ["verify", str(path), "--json"])
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)
    assert found["verdict"] == "damaged"
    assert found["damage"][0]["start_s"] > 0.2
    assert {"kind", "start_s", "end_s", "frames"} == set(found["damage"][0])
    text = run.invoke(media, ["verify", str(path)]).stdout
    assert "damaged: " in text
    info = json.loads(run.invoke(media, ["info", str(path), "--json"]).stdout)
    assert any("damaged: " in note for note in info["warnings"])
    assert info["damage"] == found["damage"]


def test_the_gap_of_a_steady_video_is_none(tmp_path: Path) -> None:
    with VideoSource(write_clip(tmp_path / "clip.mp4", 30)) as source:
        assert source.index.gaps() == []
        assert index_module.GAP_S == 1.0


# Recorders' own formats --------------------------------------------------------------------------


def dhav(path: Path, packets: list[tuple[bytes, bool]], size: tuple[int, int]) -> Path:
    """H.264 packets as Dahua recorders write them: a chunk with head and tail for each."""
    data = b""
    for number, (content, key) in enumerate(packets):
        # The extension names the size in eights, the codec (2 is H.264) and the rate.
        extension = bytes([0x81, 0, 2, 25, 0x80, 0, size[0] // 8, size[1] // 8])
        length = 24 + len(extension) + len(content) + 8
        seconds, milliseconds = divmod(number * 40, 1000)
        date = (26 << 26) | (3 << 22) | (1 << 17) | (10 << 12) | (20 << 6) | seconds
        head = struct.pack("<4sBBBBII", b"DHAV", 0xFD if key else 0xFC, 0, 0, 0, number, length)
        head += struct.pack("<IHBB", date, milliseconds, len(extension), 0)
        data += head + extension + content + struct.pack("<4sI", b"dhav", length)
    path.write_bytes(data)
    return path


def test_dahua_recordings_are_read(tmp_path: Path) -> None:
    import av

    plain = encode(
        tmp_path / "plain.h264", 40, b_frames=0, options={"x264-params": "bframes=0:keyint=10"}
    )
    with av.open(str(plain)) as container:
        packets = [(bytes(p), bool(p.is_keyframe)) for p in container.demux(video=0) if p.size]
    path = dhav(tmp_path / "recording.dav", packets, (96, 64))
    with open_media(path) as source:
        assert source.info.facts["format"] == "dhav"
        assert source.info.facts["recorded_at"] == "2026-03-01 10:20:00"
        linear = {frame.index: frame.pixels for frame in source.frames()}
        assert [read_number(pixels) for pixels in linear.values()] == list(range(40))
    with VideoSource(path) as source:
        for index in (39, 0, 25, 11):
            assert np.array_equal(source.frame(index).pixels, linear[index])


def test_hikvision_recordings_are_read(tmp_path: Path) -> None:
    """A program stream behind a head of 40 bytes."""
    plain = encode(tmp_path / "plain.mpg", 40, codec="mpeg2video")
    path = tmp_path / "hik.mp4"
    path.write_bytes(b"IMKH" + bytes([1, 1, 0, 0]) + bytes(32) + plain.read_bytes())
    with open_media(path) as source:
        assert source.info.facts["format"] == "mpeg"
        assert [read_number(frame.pixels) for frame in source.frames()] == list(range(40))
