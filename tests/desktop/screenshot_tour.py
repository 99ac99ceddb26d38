"""`python -m tests.desktop.screenshot_tour OUTDIR [--all]`: real pictures of the real window.

Writes those that the documentation shows, with `--all` those of every dialog too, as PNG at
1366 x 768. Everything shown is drawn by `tour_media`; the models are the starter's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageColor
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QWidget
from tests.desktop import tour_media

from vlmtool_core.batch import RunSpec
from vlmtool_core.project import Project
from vlmtool_core.records import Box, ErrorInfo, Label, LabelSet, Task
from vlmtool_desktop.application import make_application
from vlmtool_desktop.dialogs.run_dialog import RunRequest
from vlmtool_desktop.dialogs.workflow_dialog import WorkflowResultDialog
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.session import Tool
from vlmtool_desktop.theme import install_theme, label_colours
from vlmtool_education.drawing import DemoSheets

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 120
FOR_DOCUMENTATION = ("main-light", "main-dark", "dicom", "planes", "train", "review", "start")
FORMS = ("delivery-2041.jpg", "delivery-2042.jpg", "delivery-2043.jpg")
# The digits after this number stay without a label, for the trained model.
LABELLED = 54
MARKS = (Label("signature"), Label("nodule"))
LABELS = LabelSet("demo", (*(Label(digit) for digit in tour_media.DIGITS), *MARKS))


def make_project(root: Path, media: Path) -> DemoSheets:
    sheets = tour_media.write_all(media)
    with Project.create(root, name="Demo") as project:
        project.add([media, *sheets.sheet_paths])
        project.set_label_set(LABELS)
    return sheets


def label_digits(root: Path, first: int, last: int) -> None:
    """Label those digits whose number is in that range as their folders say."""
    with Project.open(root) as project:
        for record in project.items():
            digit, _, number = record.path.stem.partition("-")
            if digit in tour_media.DIGITS and first <= int(number) <= last:
                project.set_label([record.id], digit)


def make_small(path: Path) -> None:
    """Write a PNG again with 256 colours, those of the labels exactly as they are."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    exact = [part for colour in label_colours() for part in ImageColor.getrgb(colour)]
    common = picture.quantize(256 - len(exact) // 3).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(exact + common)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


class Tour:
    """Drives the window and photographs it."""

    def __init__(
        self, application: QApplication, out: Path, root: Path, *, everything: bool
    ) -> None:
        self.everything = everything
        self.application = application
        self.out = out
        self.root = root
        self.window = MainWindow()
        self.window.show()
        self.window.resize(1366, 768)
        self.window.splitter.setSizes([310, 736, 320])

    def wait(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self.application.processEvents()
            if time.monotonic() > end:
                raise TimeoutError(what)
            time.sleep(0.01)

    def settle(self) -> None:
        """Until thumbnails and threads have nothing more to bring."""
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            self.application.processEvents()
            time.sleep(0.01)

    def shoot(self, name: str, widget: QWidget | None = None) -> None:
        if not self.everything and name not in FOR_DOCUMENTATION:
            return
        self.settle()
        path = self.out / f"{name}.png"
        (widget or self.window).grab().save(str(path))
        make_small(path)
        sys.stderr.write(f"{path}\n")

    def theme(self, mode: str) -> None:
        self.window.set_theme(mode)

    def show_item(self, name: str) -> int:
        row = next(
            row
            for row in range(self.window.library.model.rowCount())
            if (record := self.record(row)) is not None and record.endswith(name)
        )
        item = self.window.library.model.id_at(row)
        self.window.session.set_item(item)
        self.wait(lambda: self.shown() == item, name)
        assert item is not None
        return item

    def record(self, row: int) -> str | None:
        item = self.window.library.model.id_at(row)
        if item is None:
            return None
        with Project.open(self.root) as project:
            return project.item(item).name

    def shown(self) -> int | None:
        loaded = self.window.viewing.loaded
        return loaded.ref.item_id if loaded else None

    def run(self, spec: RunSpec, *names: str) -> None:
        with Project.open(self.root) as project:
            ids = tuple(r.id for r in project.items() if r.name.endswith(names))
        job = self.window.engine.run(RunRequest(spec, ids))
        self.wait(lambda: not job.running, f"{spec.task}: {job.progress}")

    def box(self, item: int, frame: int, box: Box) -> None:
        self.window.project.write(lambda p: p.add_box(item, frame, box), item_ids=(item,))

    def dialog(self, name: str, dialog: QDialog) -> None:
        dialog.show()
        self.shoot(name, dialog)
        dialog.close()


def tour(out: Path, home: Path, *, everything: bool) -> None:
    application = make_application()
    install_theme(application, "light")
    root = home / "Demo"
    sheets = make_project(root, home / "media")
    trip = Tour(application, out, root, everything=everything)
    window = trip.window
    trip.wait(lambda: window.engine.installed.packs, "models")
    window.commands.open_root(root)
    trip.wait(lambda: window.library.model.rowCount() > 0, "library")
    trip.wait(lambda: window.viewer.canvas.has_picture, "picture")
    _train(trip)
    _main(trip)
    if trip.everything:
        _dialogs(trip)
    _review(trip, sheets)
    window.commands.close_project()
    trip.shoot("start")
    trip.theme("dark")
    trip.shoot("start-dark")
    window.close()


def _main(trip: Tour) -> None:
    window = trip.window
    rest = range(LABELLED + 1, tour_media.PER_DIGIT + 1)
    digits = [f"{digit}-{number:02d}.png" for digit in tour_media.DIGITS for number in rest]
    trip.run(RunSpec(Task.CLASSIFY, model="active"), *digits)
    trip.run(RunSpec(Task.READ), *FORMS)
    item = trip.show_item(FORMS[0])
    trip.box(item, 0, Box(*tour_media.signature_box(), "signature"))
    trip.shoot("main-light")
    trip.theme("dark")
    trip.shoot("main-dark")
    trip.theme("light")
    item = trip.show_item("ct series")
    trip.box(item, 8, Box(*tour_media.NODULE, "nodule"))
    window.session.set_frame(8)
    trip.wait(lambda: len(window.viewer.canvas.shapes) >= 1, "nodule")
    _measure(trip)
    trip.shoot("dicom")
    _planes(trip)
    window.show_tab(window.jobs)
    trip.shoot("jobs")


def _measure(trip: Tour) -> None:
    """Measure the nodule across, and the values of a region in the lung, as a hand would."""
    window = trip.window
    canvas = window.viewer.canvas
    window.show_tab(window.measurements)
    trip.wait(lambda: window.measuring.readings, "what lies behind the frame")
    trip.wait(lambda: window.viewing.shown_frame == 8, "the slice of the nodule")
    for count, (tool, points) in enumerate(tour_media.MEASURED.items(), start=1):
        window.session.set_tool(Tool(tool))
        here = [QPointF(*canvas.transform.to_view(*point)).toPoint() for point in points]
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=here[0])
        QTest.mouseMove(canvas, here[-1])
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=here[-1])
        trip.wait(
            lambda count=count: len([s for s in window.measuring.layer.shapes if s.id]) == count,
            tool,
        )
    window.session.set_tool(Tool.SELECT)


def _planes(trip: Tour) -> None:
    window = trip.window
    window.planes.toggle()
    views = window.planes.panel.views.values()
    trip.wait(lambda: all(view.picture is not None for view in views), "planes")
    trip.shoot("planes")
    window.planes.leave()


def _dialogs(trip: Tour) -> None:
    from vlmtool_desktop.dialogs.error_dialog import ErrorDialog
    from vlmtool_desktop.dialogs.help_dialogs import AboutDialog, CheatSheet, HelpDialog
    from vlmtool_desktop.dialogs.labels_dialog import LabelsDialog
    from vlmtool_desktop.dialogs.run_dialog import RunDialog
    from vlmtool_desktop.dialogs.settings_dialog import SettingsDialog

    window = trip.window
    error = ErrorInfo(
        "media-damaged",
        "the file is cut off after 2 MB",
        "Copy the file again from its source.",
        "/media/scans/scan 12.dcm",
        "PixelData",
    )
    trip.dialog("run", RunDialog(window.commands.choices(), window))
    trip.dialog("labels", LabelsDialog(LABELS, (), window))
    trip.dialog("settings", SettingsDialog(window.settings, window))
    trip.dialog("error", ErrorDialog(error, window))
    trip.dialog("keys", CheatSheet(window.actions_.keys(), window))
    trip.dialog("help", HelpDialog(window))
    trip.dialog("about", AboutDialog(window))
    trip.wait(lambda: window.engine.workflows, "workflows")
    for workflow in window.engine.workflows:
        form = window.workflows.open(workflow)
        trip.shoot(f"workflow-{workflow.key}", form)
        form.close()


def _train(trip: Tour) -> None:
    window = trip.window
    window.commands.train()
    dialog = window.training.dialog
    assert dialog is not None
    for first, last in ((1, 6), (7, LABELLED)):
        label_digits(trip.root, first, last)
        dialog.verdict.setText("")
        dialog.train_button.click()
        trip.wait(dialog.train_button.isEnabled, "training")
    trip.shoot("train", dialog)
    trip.theme("dark")
    trip.shoot("train-dark", dialog)
    trip.theme("light")
    dialog.close()


def _review(trip: Tour, sheets: DemoSheets) -> None:
    window = trip.window
    trip.wait(lambda: window.engine.workflows, "workflows")
    grade = next(w for w in window.engine.workflows if w.key == "education.grade")
    values = {
        "template": str(sheets.template_path),
        "key": str(sheets.key_path),
        "out": str(sheets.key_path.with_name("marks.csv")),
    }
    job = window.engine.run_workflow(grade, sheets.sheet_paths, values, [])
    trip.wait(lambda: not job.running, "marking")
    trip.wait(window.review.model.rowCount, "findings")
    for dialog in window.findChildren(WorkflowResultDialog):
        trip.shoot("workflow-result", dialog)
        dialog.close()
    window.show_tab(window.review)
    window.review.list.setCurrentIndex(window.review.model.index(1, 0))
    item = window.review.current()
    assert item is not None
    assert item.box is not None
    box = item.box
    trip.wait(lambda: trip.shown() == item.item_id, "answer sheet")
    trip.settle()
    canvas = window.viewer.canvas
    middle = canvas.transform.to_view((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
    canvas.zoom(2.0, QPointF(*middle))
    trip.shoot("review")
    window.show_tab(window.history)
    trip.shoot("history")


def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--all"]
    out = Path(arguments[0] if arguments else "screenshots").absolute()
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    models = Path(os.environ.get("VLMTOOL_HOME", REPOSITORY / ".vlmtool-home")) / "models"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if models.is_dir():
            (home / "models").symlink_to(models.absolute())
        os.environ["VLMTOOL_HOME"] = os.environ["HOME"] = str(home)
        tour(out, home, everything="--all" in sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
