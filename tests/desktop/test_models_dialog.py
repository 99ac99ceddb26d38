"""The models dialog: what it lists, and the real engine host doing what it asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox
from pytestqt.qtbot import QtBot
from tests.desktop.conftest import Opened

from vlmtool_core.engine import ModelStore
from vlmtool_core.jobs import Progress
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.dialogs.models_dialog import ModelsDialog
from vlmtool_desktop.model_list import Filter, lines_from_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core" / "engine" / "hub"))

from hub_server import Fault, HubServer, Repo, serving, use_hub, vit_files

HOST_MS = 120_000


def line(model_id: str, **changes: object) -> dict[str, object]:
    return {
        "id": model_id, "title": model_id.upper(), "version": "main",
        "source": f"hub acme/{model_id}",
        "page": f"https://huggingface.co/acme/{model_id}", "tasks": ["classify"],
        "domains": ["general"], "size_bytes": 2_500_000_000, "memory_bytes": 30_000_000,
        "licence": "mit", "consent": False, "accepted": "", "note": "Good at things",
        "scores": ["76 ImageNet (somebody)"], "installed": False, "fits": True,
    } | changes  # fmt: skip


CATALOGUE = {
    "models": [
        line("here", installed=True, tasks=["classify", "embed"]),
        line("small", domains=["medical"], tasks=["detect"]),
        line("huge", fits=False),
        line("asking", consent=True, licence="gemma"),
    ],
    "memory_gb": 23.6,
    "device": "cpu",
}


@pytest.fixture
def dialog(qtbot: QtBot) -> ModelsDialog:
    made = ModelsDialog()
    qtbot.addWidget(made)
    made.set_catalogue(CATALOGUE)
    made.show()
    return made


def listed(dialog: ModelsDialog) -> list[str]:
    return [dialog.table.item(n, 0).text() for n in range(dialog.table.rowCount())]


def test_the_list_and_its_filters(dialog: ModelsDialog) -> None:
    assert listed(dialog) == ["HERE", "SMALL", "ASKING"]
    assert dialog.machine.text() == "CPU, 24 GB"
    assert dialog.table.item(0, 2).text() == "2.5 GB"
    assert dialog.table.item(0, 3).text() == "30 MB"
    assert [dialog.table.item(n, 5).text() for n in range(3)] == ["yes", "", ""]
    dialog.fitting.setChecked(False)
    assert listed(dialog) == ["HERE", "SMALL", "HUGE", "ASKING"]
    dialog.domain.setCurrentIndex(dialog.domain.findData("medical"))
    assert listed(dialog) == ["SMALL"]
    dialog.domain.setCurrentIndex(0)
    dialog.task.setCurrentIndex(dialog.task.findData("embed"))
    assert listed(dialog) == ["HERE"]
    dialog.task.setCurrentIndex(0)
    dialog.search.setText("gemma")
    assert listed(dialog) == ["ASKING"]
    dialog.search.setText("no such thing")
    assert listed(dialog) == []


def test_which_buttons_can_be_pressed(dialog: ModelsDialog) -> None:
    assert not dialog.get_button.isEnabled()
    dialog.choose("here")
    assert not dialog.get_button.isEnabled()
    assert all(
        b.isEnabled() for b in (dialog.verify_button, dialog.remove_button, dialog.export_button)
    )
    dialog.choose("small")
    assert dialog.get_button.isEnabled()
    assert not dialog.remove_button.isEnabled()
    assert dialog.details.consent.isHidden()


def test_terms_are_accepted_for_one_model_at_a_time(dialog: ModelsDialog, qtbot: QtBot) -> None:
    asked: list[tuple[list[str], bool]] = []
    dialog.pull_requested.connect(lambda ids, accepted: asked.append((ids, accepted)))
    dialog.choose("asking")
    assert "gemma" in dialog.details.facts.text()
    assert "https://huggingface.co/acme/asking" in dialog.details.page.text()
    assert not dialog.get_button.isEnabled()
    dialog.details.consent.setChecked(True)
    QTest.mouseClick(dialog.get_button, Qt.MouseButton.LeftButton)
    assert asked == [(["asking"], True)]
    dialog.choose("small")
    dialog.choose("asking")
    assert not dialog.details.consent.isChecked()
    assert not dialog.get_button.isEnabled()


def test_a_repository_is_typed(dialog: ModelsDialog) -> None:
    asked: list[tuple[list[str], bool]] = []
    dialog.pull_requested.connect(lambda ids, accepted: asked.append((ids, accepted)))
    dialog.search.setText("acme/other@v2")
    assert dialog.details.title.text() == "acme/other@v2"
    QTest.mouseClick(dialog.get_button, Qt.MouseButton.LeftButton)
    assert asked == [(["acme/other@v2"], False)]


def test_progress_and_failure_are_shown(dialog: ModelsDialog) -> None:
    dialog.choose("small")
    dialog.begin("Get small")
    assert dialog.cancel_button.isVisible()
    assert not dialog.get_button.isEnabled()
    dialog.advance(Progress(30, 100, "small: downloading", 0, 3.0))
    assert "30 / 100 · 10.0/s · 7 s left · small: downloading (MB)" in dialog.state.text()
    dialog.fail(ErrorInfo("pack-access", "it is gated", "ask for access"))
    assert dialog.state.text() == "It is gated. Ask for access."
    assert not dialog.bar.isVisible()
    assert dialog.get_button.isEnabled()


def test_filters_as_data() -> None:
    lines = lines_from_json(CATALOGUE["models"])
    assert [x.id for x in lines if Filter(text="good things").keeps(x)] == [
        "here", "small", "asking",
    ]  # fmt: skip
    assert [x.id for x in lines if Filter(text="huge", fitting_only=False).keeps(x)] == ["huge"]


# With the real engine host ------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return vit_files(tmp_path_factory.mktemp("made") / "vit")


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch, model_files) -> Iterator[HubServer]:
    with serving() as server:
        use_hub(monkeypatch, server)
        server.repos["acme/vit"] = Repo(dict(model_files), licence="gemma")
        yield server


def wait(opened: Opened, condition) -> None:
    opened.qtbot.waitUntil(lambda: bool(condition()), timeout=HOST_MS)


@pytest.mark.slow
def test_get_check_export_remove_and_import(
    hub: HubServer, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialog = opened.window.model_packs.open()
    store = ModelStore()
    wait(opened, lambda: "siglip-base" in {line.id for line in dialog._lines})

    dialog.search.setText("acme/vit")
    dialog.get_button.click()
    wait(opened, lambda: "consent" in dialog.state.text())
    dialog.details.consent.setChecked(True)
    hub.fail("model.safetensors", Fault(cut=50_000))
    dialog.get_button.click()
    wait(opened, lambda: "Ready: vit" in dialog.state.text())
    assert store.verify("vit").licence_accepted_by
    dialog.search.setText("")
    wait(opened, lambda: "vit" in {line.id for line in dialog._lines})
    wait(opened, lambda: "vit" in {pack.id for pack in opened.window.engine.installed.packs})

    dialog.choose("vit")
    dialog.verify_button.click()
    wait(opened, lambda: dialog.state.text() == "Whole: vit")
    bundle = tmp_path / "模型.vlmpack"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a: (str(bundle)[:-8], ""))
    dialog.export_button.click()
    wait(opened, lambda: "Wrote" in dialog.state.text())
    assert bundle.is_file()
    monkeypatch.setattr(QMessageBox, "question", lambda *_a: QMessageBox.StandardButton.Yes)
    dialog.remove_button.click()
    wait(opened, lambda: "free again" in dialog.state.text())
    assert store.installed() == []

    drop(dialog, bundle)
    wait(opened, lambda: "consent" in dialog.state.text())
    dialog.details.consent.setChecked(True)
    dialog.import_button.click()
    wait(opened, lambda: "Ready: vit (not signed)" in dialog.state.text())
    assert store.verify("vit").revision == hub.repos["acme/vit"].commit
    dialog.close()
    opened.window.open_paths([bundle])  # dropped on the main window
    assert dialog.isVisible()
    wait(opened, lambda: not dialog.cancel_button.isVisible())
    assert "Ready: vit" in dialog.state.text()
    assert not opened.errors


def drop(dialog: ModelsDialog, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), copy, data, left, none)
    QApplication.sendEvent(dialog, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(dialog, QDropEvent(QPointF(50, 50), copy, data, left, none))


@pytest.mark.slow
def test_a_pull_is_cancelled_and_gone_on_from(hub: HubServer, opened: Opened) -> None:
    hub.repos["acme/vit"].licence = "mit"
    hub.fail("model.safetensors", Fault(pause_s=0.1))
    dialog = opened.window.model_packs.open()
    dialog.search.setText("acme/vit")
    dialog.get_button.click()
    small = sum(len(d) for n, d in hub.repos["acme/vit"].files.items() if n.endswith(".json"))
    wait(opened, lambda: hub.sent > small + 3000)
    dialog.cancel_button.click()
    wait(opened, lambda: not dialog.cancel_button.isVisible())
    assert "goes on where it stopped" in dialog.state.text()
    assert ModelStore().installed() == []
    dialog.get_button.click()
    wait(opened, lambda: "Ready: vit" in dialog.state.text())
    assert hub.asked("model.safetensors")[-1].range != ""
