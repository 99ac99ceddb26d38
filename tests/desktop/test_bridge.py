"""Threads: results arrive on the main thread, errors as errors, stale ones not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.project import Project
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.bridge import Bridge, open_or_create


@pytest.fixture
def bridge(qtbot: QtBot) -> Iterator[Bridge]:
    made = Bridge()
    yield made
    made.close()


def test_a_result_arrives_on_the_main_thread(bridge: Bridge, qtbot: QtBot) -> None:
    seen: list[tuple[int, int]] = []
    bridge.view(
        lambda: threading.get_ident(), lambda worker: seen.append((worker, threading.get_ident()))
    )
    qtbot.waitUntil(lambda: bool(seen))
    worker, main = seen[0]
    assert main == threading.get_ident()
    assert worker != main


def test_an_error_arrives_with_its_remedy(bridge: Bridge, qtbot: QtBot) -> None:
    seen: list[ErrorInfo] = []

    def work() -> None:
        raise DamagedMediaError("the file is cut off", path="/a.png")

    bridge.view(work, lambda _none: pytest.fail("no result was expected"), seen.append)
    qtbot.waitUntil(lambda: bool(seen))
    assert seen[0].message == "the file is cut off"
    assert seen[0].path == "/a.png"
    assert "Copy the file again" in seen[0].remedy


def test_an_error_that_nobody_takes_is_announced(bridge: Bridge, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bridge.failed) as failed:
        bridge.view(lambda: 1 // 0, lambda _none: None)
    assert failed.args is not None
    assert failed.args[0].code == "internal"


def test_only_the_newest_of_a_lane_is_delivered_and_skipped_work_is_not_done(
    bridge: Bridge, qtbot: QtBot
) -> None:
    release = threading.Event()
    worked: list[int] = []
    delivered: list[int] = []
    bridge.view(lambda: release.wait(10), lambda _: None)

    def work(number: int) -> int:
        worked.append(number)
        return number

    for number in range(20):
        bridge.view(lambda number=number: work(number), delivered.append, lane="frame")
    release.set()
    qtbot.waitUntil(lambda: bool(delivered))
    assert delivered == [19]
    assert worked == [19]


def test_a_dropped_lane_delivers_nothing(bridge: Bridge, qtbot: QtBot) -> None:
    release = threading.Event()
    delivered: list[str] = []
    bridge.view(lambda: release.wait(10), lambda _: delivered.append("stale"), lane="frame")
    bridge.drop("frame")
    release.set()
    bridge.view(lambda: None, lambda _: delivered.append("after"))
    qtbot.waitUntil(lambda: bool(delivered))
    assert delivered == ["after"]


def test_project_calls_without_a_project_are_refused(bridge: Bridge, qtbot: QtBot) -> None:
    seen: list[ErrorInfo] = []
    bridge.project(lambda p: p.count(), lambda _: None, seen.append)
    qtbot.waitUntil(lambda: bool(seen))
    assert seen[0].remedy == "Open a project first."


def test_project_calls_run_one_after_the_other_in_one_thread(
    bridge: Bridge, qtbot: QtBot, tmp_path: Path
) -> None:
    opened: list[Project] = []
    threads: set[int] = set()
    order: list[int] = []
    bridge.open_project(open_or_create(tmp_path / "p", create=True), opened.append)

    def call(_project: Project, number: int) -> int:
        threads.add(threading.get_ident())
        return number

    for number in range(30):
        bridge.project(lambda p, number=number: call(p, number), order.append)
    qtbot.waitUntil(lambda: len(order) == 30, timeout=20_000)
    assert order == list(range(30))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_closing_waits_for_what_is_being_written(qtbot: QtBot, tmp_path: Path) -> None:
    bridge = Bridge()
    opened: list[Project] = []
    bridge.open_project(open_or_create(tmp_path / "p", create=True), opened.append)
    for name in ("a", "b", "c"):
        bridge.project(lambda p, name=name: p.ensure_labels([name]))
    bridge.close()
    bridge.close()
    with Project.open(tmp_path / "p") as project:
        assert [label.name for label in project.label_set().labels] == ["a", "b", "c"]
