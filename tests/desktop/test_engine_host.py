"""What the window says of the engine: busy, dead, halted; its log, and starting it anew."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
from PySide6.QtWidgets import QApplication
from tests.desktop.conftest import Opened

from vlmtool_core.host import log_file
from vlmtool_desktop.job_list import JobState


def look(opened: Opened) -> int:
    """Ask the engine something and wait for it; returns the process that answered."""
    window = opened.window
    answers: list[object] = []
    window.bridge.request("log", {}, title="Log", done=answers.append, quiet=True)
    opened.wait(lambda: answers)
    pid = window.bridge.host_pid
    assert pid is not None
    return pid


def kill(opened: Opened) -> None:
    os.kill(look(opened), signal.SIGKILL)
    opened.wait(lambda: "stopped" in opened.window.status.host.text())


def test_the_status_bar_says_what_the_engine_does(opened: Opened) -> None:
    host = opened.window.status.host
    assert host.text() == ""
    kill_me = look(opened)
    opened.wait(lambda: host.text() == "engine ready")
    os.kill(kill_me, signal.SIGKILL)
    opened.wait(lambda: host.text() == "engine stopped")
    assert "SIGKILL" in host.toolTip()
    assert "next request" in host.toolTip()
    assert host.property("role") == "danger"
    assert "SIGKILL" in opened.window.status.currentMessage()
    look(opened)
    opened.wait(lambda: host.text() == "engine ready")
    assert host.toolTip() == ""


def test_an_engine_that_stops_too_often_is_restarted_from_the_menu(opened: Opened) -> None:
    window = opened.window
    for _ in range(3):
        kill(opened)
    opened.wait(lambda: window.status.host.text() == "engine stopped too often")
    assert "restart the engine" in window.status.host.toolTip()
    job = window.bridge.request("models", {}, title="Models")
    opened.wait(lambda: job.state is JobState.FAILED)
    assert "crashed 3 times" in opened.errors[-1].message
    window.actions_.by_id["restart-engine"].trigger()
    opened.wait(lambda: window.engine.installed.device)
    assert psutil.pid_exists(window.bridge.host_pid or 0)


def test_the_log_is_shown_with_the_reason_of_a_crash(opened: Opened, home: Path) -> None:
    window = opened.window
    kill(opened)
    window.actions_.by_id["engine-log"].trigger()
    dialog = window.host.log
    assert dialog is not None
    assert dialog.isVisible()
    assert str(home) in dialog.place.text()
    assert "engine host started" in dialog.view.toPlainText()
    assert "killed by SIGKILL" in dialog.view.toPlainText()
    dialog.copy()
    assert "killed by SIGKILL" in QApplication.clipboard().text()
    log_file.engine_log().unlink()
    dialog.reload()
    assert "Nothing is logged yet" in dialog.view.toPlainText()
    dialog.close()


def test_models_are_unloaded_from_the_menu(opened: Opened) -> None:
    window = opened.window
    window.actions_.by_id["unload"].trigger()
    opened.wait(lambda: "unloaded" in window.status.currentMessage())
    assert not opened.errors


def test_a_log_that_cannot_be_written_hinders_nothing(opened: Opened, home: Path) -> None:
    (home / "logs").write_text("a file where the folder should be")
    look(opened)
    kill(opened)
    look(opened)
    assert log_file.last_lines() == []
    assert (home / "logs").read_text().startswith("a file")
    assert not opened.errors
