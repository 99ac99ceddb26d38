"""`python -m tests.desktop.screenshot_tour OUTDIR [--all]`: real pictures of the real window.

Writes those that the documentation shows, with `--all` those of every dialog too, as PNG at
1366 x 768. The project is of photographs that scikit-image carries; the models are the starter's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtWidgets import QApplication, QDialog, QWidget
from tests.desktop import media_files

from vlmtool_core.project import Project
from vlmtool_core.records import Box, ErrorInfo, Finding, Label, LabelSet, Task
from vlmtool_desktop.application import make_application
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.theme import install_theme

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 240
FOR_DOCUMENTATION = ("main-light", "main-dark", "dicom", "train", "review", "start")
PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "coins", "page", "retina", "rocket")
LABELS = LabelSet(
    "demo",
    (
        Label("cat", ("a photo of a cat",)),
        Label("cup of coffee", ("a cup of coffee on a table",)),
        Label("person", ("a portrait of a person",)),
        Label("document", ("a page of printed text",)),
    ),
)


def write_photographs(folder: Path) -> None:
    """The photographs, and crops of three of them to learn from."""
    import skimage.data
    from PIL import Image

    (folder / "photographs").mkdir(parents=True)
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(skimage.data, name)())
        Image.fromarray(pixels).save(folder / "photographs" / f"{name}.png")
    generator = np.random.default_rng(3)
    for name, label in (("chelsea", "cat"), ("coffee", "coffee"), ("astronaut", "person")):
        pixels = np.asarray(getattr(skimage.data, name)())
        (folder / "crops" / label).mkdir(parents=True)
        for number in range(1, 15):
            side = int(generator.integers(170, 280))
            y = int(generator.integers(0, pixels.shape[0] - side))
            x = int(generator.integers(0, pixels.shape[1] - side))
            crop = Image.fromarray(pixels[y : y + side, x : x + side])
            crop.save(folder / "crops" / label / f"{label}{number:02d}.png")


def phantom() -> np.ndarray:
    """Shepp and Logan's phantom as values from 0 to 2000."""
    import skimage.data

    return np.asarray(skimage.data.shepp_logan_phantom()[::2, ::2] * 2000)


def make_project(root: Path, media: Path) -> None:
    write_photographs(media)
    media_files.write_series(media / "ct series", 12, base=phantom())
    media_files.write_video(media / "clip.mp4", frames=40)
    (media / "photographs" / "scan damaged.jpg").write_bytes(b"\xff\xd8\xff")
    names = {"cat": "cat", "coffee": "cup of coffee", "person": "person"}
    with Project.create(root, name="Demo") as project:
        project.add([media])
        project.set_label_set(LABELS)
        for record in project.items():
            folder = record.path.parent.name
            if folder in names:
                project.set_label([record.id], names[folder])


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

    def run(self, task: Task, *names: str, labels: tuple[Label, ...] = ()) -> None:
        from vlmtool_core.batch import RunSpec
        from vlmtool_desktop.dialogs.run_dialog import RunRequest

        with Project.open(self.root) as project:
            ids = tuple(r.id for r in project.items() if r.name.endswith(names))
        job = self.window.engine.run(RunRequest(RunSpec(task, labels=labels), ids))
        self.wait(lambda: not job.running, f"{task}: {job.progress}")

    def dialog(self, name: str, dialog: QDialog) -> None:
        dialog.show()
        self.shoot(name, dialog)
        dialog.close()


def tour(out: Path, home: Path, *, everything: bool) -> None:
    application = make_application()
    install_theme(application, "light")
    root = home / "Demo"
    make_project(root, home / "media")
    trip = Tour(application, out, root, everything=everything)
    window = trip.window
    trip.wait(lambda: window.engine.installed.packs, "models")
    window.commands.open_root(root)
    trip.wait(lambda: window.library.model.rowCount() > 0, "library")
    trip.wait(lambda: window.viewer.canvas.has_picture, "picture")
    _main(trip)
    if trip.everything:
        _dialogs(trip)
    _train(trip)
    _review(trip)
    window.commands.close_project()
    trip.shoot("start")
    trip.theme("dark")
    trip.shoot("start-dark")
    window.close()


def _main(trip: Tour) -> None:
    window = trip.window
    trip.run(Task.CLASSIFY, *(f"{name}.png" for name in PHOTOGRAPHS), labels=LABELS.labels)
    trip.run(Task.CAPTION, "astronaut.png", "chelsea.png")
    trip.run(Task.DETECT, "astronaut.png", labels=(Label("face"),))
    trip.run(Task.READ, "page.png")
    item = trip.show_item("astronaut.png")
    window.project.write(
        lambda p: p.add_box(item, 0, Box(346, 2, 466, 300, "rocket")), item_ids=(item,)
    )
    trip.wait(lambda: len(window.viewer.canvas.shapes) >= 1, "box")
    trip.shoot("main-light")
    trip.theme("dark")
    trip.shoot("main-dark")
    trip.show_item("page.png")
    trip.shoot("read-dark")
    trip.theme("light")
    trip.show_item("ct series")
    window.session.set_frame(6)
    trip.shoot("dicom")
    window.show_tab(window.jobs)
    trip.shoot("jobs")


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
    for attempt in range(2):
        dialog.seed.setValue(attempt)
        dialog.verdict.setText("")
        dialog.train_button.click()
        trip.wait(dialog.train_button.isEnabled, "training")
    trip.shoot("train", dialog)
    trip.theme("dark")
    trip.shoot("train-dark", dialog)
    trip.theme("light")
    dialog.close()


def _review(trip: Tour) -> None:
    window = trip.window
    item = trip.show_item("astronaut.png")
    findings = [
        Finding(
            "box",
            title,
            "photographs/astronaut.png",
            score,
            label,
            box=box,
            model="demo.check 1",
            item_id=item,
        )
        for title, score, label, box in (
            ("Face in the picture", 0.91, "face", Box(170, 60, 270, 200, "face")),
            ("Flag in the background", 0.55, "flag", Box(0, 20, 120, 400, "flag")),
            ("Text on the suit", 0.42, "badge", Box(190, 330, 300, 400, "badge")),
        )
    ]
    window.project.write(lambda p: p.add_findings("demo.check", "1", findings))
    window.review.reload()
    trip.wait(lambda: window.review.model.rowCount() == 3, "findings")
    window.show_tab(window.review)
    window.review.list.setCurrentIndex(window.review.model.index(0, 0))
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
        os.environ["VLMTOOL_HOME"] = str(home)
        tour(out, home, everything="--all" in sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
