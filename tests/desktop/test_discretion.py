"""One switch hides whatever identifies a person: every text of the window is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from PySide6.QtCore import QAbstractItemModel, QModelIndex, Qt
from PySide6.QtWidgets import QAbstractItemView, QApplication, QWidget
from tests.desktop.conftest import Opened

from vlmtool_core.jobs import Progress
from vlmtool_core.project import Project
from vlmtool_core.records import ErrorInfo, Label, LabelSet
from vlmtool_core.settings import load_settings
from vlmtool_desktop.dialogs.error_dialog import ErrorDialog, details_of
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.jobs_text import progress_text

# File, project, patient's name and number of CT_small.dcm.
SECRETS = ("smith", "mueller", "compressedsamples", "1ct1", "jfk imaging")


@pytest.fixture
def on_patient(opened: Opened, tmp_path: Path) -> Opened:
    folder = tmp_path / "Smith John"
    folder.mkdir()
    slice_ = Path(str(get_testdata_file("CT_small.dcm")))
    (folder / "smith.dcm").write_bytes(slice_.read_bytes())
    with Project.create(tmp_path / "project", name="Mueller") as project:
        project.add([folder])
        project.set_label_set(LabelSet("findings", (Label("nodule"), Label("none"))))
        (item_id,) = project.item_ids()
        project.set_label([item_id], "nodule")
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.viewing.loaded is not None)
    return opened


def texts_of(window: QWidget) -> str:
    """Every text that a window and its lists can show or read out, in small letters."""
    found: list[str] = [window.windowTitle()]
    for widget in window.findChildren(QWidget):
        found += [widget.toolTip(), widget.accessibleName(), widget.accessibleDescription()]
        for name in ("text", "placeholderText", "windowTitle"):
            method = getattr(widget, name, None)
            if callable(method):
                found.append(str(method()))
        if isinstance(widget, QAbstractItemView) and widget.model() is not None:
            found += _rows(widget.model())
    return "\n".join(found).lower()


def _rows(model: QAbstractItemModel) -> list[str]:
    roles = (
        Qt.ItemDataRole.DisplayRole,
        Qt.ItemDataRole.ToolTipRole,
        Qt.ItemDataRole.AccessibleTextRole,
    )
    return [
        str(model.index(row, 0).data(role))
        for row in range(model.rowCount(QModelIndex()))
        for role in roles
    ]


def corner_lines(opened: Opened) -> str:
    corners = opened.window.identity.texts.corners
    return "\n".join([*corners.top_left, *corners.top_right, *corners.bottom_right]).lower()


def test_shown_they_stand_in_the_corners(on_patient: Opened) -> None:
    assert "compressedsamples" in corner_lines(on_patient)
    assert "smith.dcm" in texts_of(on_patient.window)
    assert "mueller" in on_patient.window.windowTitle().lower()


def test_hidden_no_text_of_the_window_has_them(on_patient: Opened) -> None:
    window = on_patient.window
    window.actions_.by_id["hide-identifying"].trigger()
    assert load_settings().hide_identifying_values
    on_patient.wait(lambda: "item 1" in texts_of(window))
    seen = texts_of(window) + corner_lines(on_patient)
    assert [secret for secret in SECRETS if secret in seen] == []
    window.commands.step(0)
    window.project.undo()
    on_patient.wait(lambda: window.history.list.count() > 0)
    seen = texts_of(window)
    assert [secret for secret in SECRETS if secret in seen] == []


def test_the_picture_changes_with_the_switch(on_patient: Opened) -> None:
    def grab() -> np.ndarray:
        image = on_patient.window.viewer.canvas.grab().toImage()
        return np.frombuffer(image.constBits(), np.uint8).copy()

    with_texts = grab()
    discretion().set_on(True)
    hidden = grab()
    assert not np.array_equal(with_texts, hidden)
    discretion().set_on(False)
    assert np.array_equal(grab(), with_texts)


def test_it_lasts_until_it_is_switched_off(on_patient: Opened) -> None:
    switch = on_patient.window.actions_.by_id["hide-identifying"]
    switch.trigger()
    assert switch.isChecked()
    switch.trigger()
    assert not load_settings().hide_identifying_values
    assert "compressedsamples" in corner_lines(on_patient)


def test_errors_and_progress_tell_no_file(qapp: QApplication, opened: Opened) -> None:
    path = "/home/smith/x.dcm"
    error = ErrorInfo("media", f"cannot read {path!r}", "Look.", path)
    discretion().set_on(True)
    dialog = ErrorDialog(error, opened.window)
    assert "smith" not in texts_of(dialog)
    assert "smith" not in details_of(error)
    assert "smith" not in progress_text(Progress(1, 2, "smith/x.dcm", 0, 1.0))
    discretion().set_on(False)
    assert "smith" in details_of(error)
