"""Playing, the time line under the picture, and the wall clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from tests.desktop import media_files
from tests.desktop.conftest import Opened

from vlmtool_core.project import Project
from vlmtool_core.records import Finding
from vlmtool_desktop.dialogs.clock_dialog import ClockDialog
from vlmtool_desktop.models.course import Course, Mark, clock
from vlmtool_desktop.panels.play_bar import PlayBar

SPACE = Qt.Key.Key_Space


def show(opened: Opened, root: Path, *media: Path) -> Opened:
    with Project.create(root) as project:
        project.add(list(media), group_by="folder")
    opened.open(root)
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    return opened


@pytest.fixture
def on_video(opened: Opened, tmp_path: Path) -> Opened:
    video = media_files.write_video(tmp_path / "door" / "clip.mp4", frames=20)
    show(opened, tmp_path / "project", video)
    opened.wait(lambda: opened.window.playing.course is not None)
    return opened


def bar(opened: Opened) -> PlayBar:
    return opened.window.playing.bar


def at(opened: Opened, share: float) -> QPoint:
    line = bar(opened).line
    return QPoint(round(share * line.width()), line.height() // 2)


def test_the_space_bar_plays_to_the_end_and_starts_anew(on_video: Opened) -> None:
    window = on_video.window
    player, canvas = window.playing, window.viewer.canvas
    player.bar.set_speed(4.0)
    canvas.setFocus()
    seen: list[int] = []
    window.viewing.frame_shown.connect(lambda loaded: seen.append(loaded.index))
    QTest.keyClick(canvas, SPACE)
    assert player.playing
    assert bar(on_video).play.accessibleName() == "Pause"
    on_video.wait(lambda: not player.playing)
    on_video.wait(lambda: window.viewing.shown_frame == 19)
    assert seen == sorted(set(seen))
    assert bar(on_video).play.accessibleName() == "Play"
    QTest.keyClick(canvas, SPACE)
    on_video.wait(lambda: 0 < window.session.frame < 19)
    QTest.keyClick(canvas, SPACE)
    assert not player.playing
    assert not on_video.errors


def test_the_space_bar_with_a_drag_moves_the_picture_only(on_video: Opened) -> None:
    canvas = on_video.window.viewer.canvas
    canvas.setFocus()
    middle = canvas.rect().center()
    QTest.keyPress(canvas, SPACE)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle)
    QTest.keyRelease(canvas, SPACE)
    assert not on_video.window.playing.playing


def test_playing_keeps_the_time_of_the_video(on_video: Opened) -> None:
    """At four times the speed, two seconds of video do not take less than half a second."""
    from PySide6.QtCore import QElapsedTimer

    player = on_video.window.playing
    player.bar.set_speed(4.0)
    timer = QElapsedTimer()
    timer.start()
    player.toggle()
    on_video.wait(lambda: not player.playing)
    assert timer.elapsed() >= 450


def test_a_late_picture_is_left_out(on_video: Opened) -> None:
    player, session = on_video.window.playing, on_video.window.session
    player.toggle()
    on_video.wait(lambda: session.frame >= 1)
    # As if the last picture had taken a second: the next one is the one of now.
    before = session.frame
    player._from_s += 1.0
    on_video.wait(lambda: session.frame > before)
    player.pause()
    assert session.frame >= before + 9


def test_going_elsewhere_while_playing_goes_on_from_there(on_video: Opened) -> None:
    player, session = on_video.window.playing, on_video.window.session
    player.bar.set_speed(0.5)
    player.toggle()
    on_video.wait(lambda: session.frame >= 1)
    session.set_frame(12)
    on_video.wait(lambda: session.frame > 12)
    assert session.frame < 18
    assert player.playing
    player.pause()


def test_a_loop_is_played_again_and_again(on_video: Opened) -> None:
    player, session = on_video.window.playing, on_video.window.session
    loop = on_video.window.actions_.by_id["loop"]
    session.set_frame(4)
    loop.trigger()
    assert player.loop == (pytest.approx(0.4), None)
    session.set_frame(8)
    loop.trigger()
    assert player.loop == (pytest.approx(0.4), pytest.approx(0.8))
    player.bar.set_speed(4.0)
    seen: list[int] = []
    session.frame_changed.connect(lambda: seen.append(session.frame))
    session.set_frame(5)
    player.toggle()
    on_video.wait(lambda: seen.count(4) >= 2)
    assert player.playing
    assert max(seen) <= 8
    player.pause()
    loop.trigger()
    assert player.loop is None
    assert not bar(on_video).loop.isChecked()


def test_a_click_on_the_time_line_goes_there(on_video: Opened) -> None:
    window, line = on_video.window, bar(on_video).line
    left = Qt.MouseButton.LeftButton
    QTest.mouseClick(line, left, Qt.KeyboardModifier.NoModifier, at(on_video, 0.5))
    on_video.wait(lambda: window.viewing.shown_frame == 10)
    QTest.mousePress(line, left, Qt.KeyboardModifier.NoModifier, at(on_video, 0.1))
    QTest.mouseMove(line, at(on_video, 0.92))
    QTest.mouseRelease(line, left, Qt.KeyboardModifier.NoModifier, at(on_video, 0.92))
    on_video.wait(lambda: window.viewing.shown_frame == 18)
    line.setFocus()
    QTest.keyClick(line, Qt.Key.Key_Left)
    assert window.session.frame == 17
    QTest.keyClick(line, SPACE)
    assert window.playing.playing
    window.playing.pause()
    assert line.accessibleName() == "Time line"
    assert "of 0:01.900" in line.accessibleDescription()


def test_the_strip_is_made_of_the_video(on_video: Opened) -> None:
    line = bar(on_video).line
    on_video.wait(lambda: line._pictures)
    assert len(line._pictures) == line.slots
    first, last = line._pictures[0], line._pictures[-1]
    assert first is not None
    assert last is not None
    assert max(first.width(), first.height()) == 128
    assert first.toImage() != last.toImage()


def test_speeds_go_up_and_down(on_video: Opened) -> None:
    player, actions = on_video.window.playing, on_video.window.actions_.by_id
    for name, speed in (("faster", 2), ("faster", 4), ("faster", 4), ("slower", 2)):
        actions[name].trigger()
        assert player.speed == speed
    for _ in range(6):
        actions["slower"].trigger()
    assert player.speed == 0.25


def test_findings_are_drawn_on_the_time_line(on_video: Opened) -> None:
    window = on_video.window
    loaded = window.viewing.loaded
    assert loaded is not None
    path = str(loaded.ref.path)
    found = Finding("motion", "movement", path, score=0.9, time_span_s=(0.5, 0.9))
    window.project.write(lambda p: p.add_findings("test.motion", "1", [found]))
    line = bar(on_video).line
    window.session.content_has_changed()
    on_video.wait(lambda: Mark("finding", 0.5, 0.9, "movement") in line.marks)
    assert "movement" in line.text_at(line.width() * 0.35)
    assert "movement" not in line.text_at(line.width() * 0.9)


def test_damage_is_checked_and_marked(opened: Opened, tmp_path: Path) -> None:
    import av

    plain = media_files.write_video(tmp_path / "plain.mp4", frames=60)
    hurt = tmp_path / "hurt.mp4"
    with (
        av.open(str(plain)) as given,
        av.open(str(hurt), "w", options={"movflags": "faststart"}) as made,
    ):
        stream: Any = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    data = bytearray(hurt.read_bytes())
    random = np.random.default_rng(1)
    for place in random.integers(len(data) * 6 // 10, len(data) * 8 // 10, 200):
        data[place] = int(random.integers(0, 256))
    hurt.write_bytes(data)
    show(opened, tmp_path / "project", hurt)
    player = opened.window.playing
    opened.wait(lambda: player.course is not None)
    assert player.bar.line.marks == ()
    player.bar.check.click()
    opened.wait(lambda: player.bar.line.marks)
    assert all(mark.start_s > 1.0 for mark in player.bar.line.marks)
    assert "damaged places" in player.bar.said.text()
    assert "damaged: " in opened.window.viewer.warnings.text()
    # What was found is kept: it is there at once the next time.
    opened.window.session.set_frame(3)
    opened.wait(lambda: opened.window.viewing.shown_frame == 3)
    assert "damaged: " in opened.window.viewer.warnings.text()


def test_a_picture_has_no_time_line(opened: Opened, tmp_path: Path) -> None:
    pictures = media_files.write_pictures(tmp_path / "pictures", 1)
    video = media_files.write_video(tmp_path / "pictures" / "z.mp4", frames=5)
    show(opened, tmp_path / "project", *pictures, video)
    window = opened.window
    assert not window.playing.bar.isVisible()
    window.commands.step(1)
    opened.wait(window.playing.bar.isVisible)
    window.commands.step(-1)
    assert not window.playing.bar.isVisible()
    QTest.keyClick(window.viewer.canvas, SPACE)
    assert not window.playing.playing


def test_a_cine_of_dicom_plays_by_its_frame_times(opened: Opened, tmp_path: Path) -> None:
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    dataset = dcmread(str(get_testdata_file("examples_ybr_color.dcm")))
    dataset.FrameTime = 50
    path = tmp_path / "cine.dcm"
    dataset.save_as(path)
    show(opened, tmp_path / "project", path)
    player = opened.window.playing
    opened.wait(lambda: player.course is not None)
    course = player.course
    assert course is not None
    assert len(course.times) == int(dataset.NumberOfFrames)
    assert course.times[:3] == pytest.approx((0.0, 0.05, 0.1))
    assert not player.bar.check.isVisible()
    player.bar.set_speed(4.0)
    player.toggle()
    opened.wait(lambda: opened.window.session.frame > 5)
    player.pause()
    assert not opened.errors


def test_the_time_of_day_is_shown_and_set_right(on_video: Opened) -> None:
    window = on_video.window
    wall = bar(on_video).wall
    assert wall.isVisible()
    assert wall.text() == "Time of day…"
    wall.click()
    on_video.wait(lambda: window.findChildren(ClockDialog))
    (dialog,) = window.findChildren(ClockDialog)
    dialog.start.setText("2026-03-01 10:20:30")
    dialog.offset.setValue(-2.5)
    dialog.accept()
    on_video.wait(lambda: wall.text() == "2026-03-01 10:20:27.500 (-2.5 s)")
    window.session.set_frame(5)
    on_video.wait(lambda: wall.text() == "2026-03-01 10:20:28.000 (-2.5 s)")
    events = on_video.stored(lambda p: [e.kind for e in p.store.audit.entries()])
    assert isinstance(events, list)
    assert {"clock.start", "clock.offset"} <= set(events)


def test_clocks_are_written_for_people() -> None:
    assert clock(0.0) == "0:00.000"
    assert clock(62.3456) == "1:02.346"
    assert clock(59.9999) == "1:00.000"
    assert clock(3723.5) == "1:02:03.500"
    assert clock(1772360400.25) == "2026-03-01 10:20:00.250"


def test_the_frame_of_a_time_is_the_one_on_the_screen() -> None:
    course = Course((5.0, 5.04, 5.5, 5.54))
    for time_s, frame in ((4.0, 0), (5.0, 0), (5.039, 0), (5.3, 1), (5.5, 2), (9.0, 3)):
        assert course.frame_at(time_s) == frame
    assert course.end_s == pytest.approx(5.72)
