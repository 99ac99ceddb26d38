"""The state of the window, without Qt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vlmtool_core.records import Label, LabelSet
from vlmtool_desktop.session import OpenProject, Overlay, Session, Tool

PROJECT = OpenProject(Path("/p"), "p", label_set=LabelSet("s", (Label("cat"),)))


def listen(session: Session) -> list[str]:
    heard: list[str] = []
    for name in ("project", "item", "frame", "selection", "tool", "overlays", "labels", "history"):
        signal = getattr(session, f"{name}_changed")
        signal.connect(lambda name=name: heard.append(name))
    return heard


def test_a_value_that_is_there_already_announces_nothing() -> None:
    session = Session()
    session.set_item(3)
    session.set_frame_count(10)
    session.set_frame(4)
    heard = listen(session)
    session.set_item(3, frame=4)
    session.set_frame(4)
    session.set_tool(Tool.SELECT)
    session.set_selection(())
    assert heard == []


def test_another_item_starts_at_its_first_frame() -> None:
    session = Session()
    session.set_item(1)
    session.set_frame_count(5)
    session.set_frame(3)
    heard = listen(session)
    session.set_item(2)
    assert heard == ["item"]
    assert session.frame == 0
    assert session.frame_count == 1


def test_frames_are_clamped() -> None:
    session = Session()
    session.set_item(1)
    session.set_frame_count(5)
    session.set_frame(99)
    assert session.frame == 4
    session.set_frame(-3)
    assert session.frame == 0


def test_a_new_project_forgets_item_and_selection() -> None:
    session = Session()
    session.set_item(1)
    session.set_selection((1, 2))
    session.set_project(PROJECT)
    assert session.item is None
    assert session.selection == ()
    assert [label.name for label in session.labels.labels] == ["cat"]


def test_labels_are_announced_only_when_they_change() -> None:
    session = Session()
    session.set_project(PROJECT)
    heard = listen(session)
    session.update_project(OpenProject(Path("/p"), "p", can_undo=True, label_set=PROJECT.label_set))
    assert heard == ["history"]
    session.update_project(OpenProject(Path("/p"), "p"))
    assert heard == ["history", "labels", "history"]


def test_overlays_are_switched_one_by_one() -> None:
    session = Session()
    session.toggle_overlay(Overlay.CAPTION)
    assert Overlay.CAPTION not in session.overlays
    assert Overlay.ANNOTATIONS in session.overlays
    session.toggle_overlay(Overlay.CAPTION)
    assert Overlay.CAPTION in session.overlays


def test_the_session_needs_no_qt() -> None:
    code = (
        "import sys; sys.modules['PySide6'] = None; import vlmtool_desktop.session, "
        "vlmtool_desktop.job_list, vlmtool_desktop.recent, vlmtool_desktop.installed; print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ok"
