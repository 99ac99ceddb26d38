"""What the actions do: asks in dialogs where needed, then hands over to the controllers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QMessageBox

from vlmtool_core.errors import VlmtoolError
from vlmtool_core.records import Box, FindingStatus, MediaKind, Task
from vlmtool_core.settings import save_settings
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.dialogs.help_dialogs import AboutDialog, CheatSheet, HelpDialog
from vlmtool_desktop.dialogs.labels_dialog import LabelsDialog
from vlmtool_desktop.dialogs.models_dialog import SUFFIX
from vlmtool_desktop.dialogs.project_dialogs import AddDialog, NewProjectDialog
from vlmtool_desktop.dialogs.run_dialog import RunChoices, RunDialog
from vlmtool_desktop.dialogs.settings_dialog import SettingsDialog
from vlmtool_desktop.dialogs.text_dialog import TextDialog
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.recent import forget_project
from vlmtool_desktop.session import Tool

if TYPE_CHECKING:
    from vlmtool_core.project import Project
    from vlmtool_core.records import LabelSet
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.panels.predictions import Choice

_PROJECT_FILES = ("project.sqlite", "project.toml")


def _is_project(root: Path) -> bool:
    return any((root / name).is_file() for name in _PROJECT_FILES)


class Commands(QObject):
    """The handlers of the action table and of the panels' buttons."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session

    @property
    def _bridge(self) -> Bridge:
        return self._window.bridge

    # Projects and files ----------------------------------------------------------------------

    def new_project(self, files: Sequence[Path] = ()) -> None:
        """Ask for name and folder, create, and add the files that led here."""
        asked = NewProjectDialog.ask(self._window, files)
        if asked is None:
            return
        root, name = asked
        given = list(files)
        then = (lambda: self._window.project.add(given)) if given else None
        self._window.project.open(root, create=True, name=name, then=then)

    def open_project(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self._window, self.tr("Open a project"))
        if chosen:
            self.open_root(Path(chosen))

    def open_root(self, root: Path) -> None:
        if not _is_project(root):
            forget_project(root)
            self._window.start.refresh()
        self._window.project.open(root)

    def close_project(self) -> None:
        self._window.project.close()

    def take_dropped(self, files: Sequence[Path]) -> None:
        """A project is opened, a bundle of models imported; anything else is added, to a new
        project if none is open."""
        if len(files) == 1 and files[0].suffix == SUFFIX:
            self._window.model_packs.take_bundle(str(files[0]))
        elif len(files) == 1 and _is_project(files[0]):
            self.open_root(files[0])
        elif len(files) == 1 and files[0].name in _PROJECT_FILES:
            self.open_root(files[0].parent)
        elif files and self._session.project is None:
            self.new_project(files)
        elif files:
            self._window.project.add(files)

    def add_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self._window, self.tr("Add files"))
        self._add([Path(name) for name in names])

    def add_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self._window, self.tr("Add a folder"))
        self._add([Path(name)] if name else [])

    def _add(self, files: Sequence[Path]) -> None:
        if not files:
            return
        choice = AddDialog.ask(self._window, files)
        if choice is not None:
            self._window.project.add(files, choice.group_by)

    def may_close(self) -> bool:
        """Ask before running jobs are given up; what they finished is kept anyway."""
        running = self._bridge.jobs.running()
        if not running:
            return True
        titles = "\n".join(f"• {job.title}" for job in running)
        answer = QMessageBox.question(
            self._window,
            self.tr("Jobs are running"),
            self.tr("These jobs stop now and go on when they are started again:") + f"\n\n{titles}",
            QMessageBox.StandardButton.Close | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        return answer == QMessageBox.StandardButton.Close

    def edit_settings(self) -> None:
        changed = SettingsDialog.ask(self._window, self._window.settings)
        if changed is None:
            return
        try:
            save_settings(changed)
        except VlmtoolError as error:
            from vlmtool_core.records import ErrorInfo

            self._bridge.failed.emit(ErrorInfo.from_exception(error))
            return
        self._window.settings = changed
        discretion().set_on(changed.hide_identifying_values)
        self._window.set_theme(changed.theme)

    # Going through the items -----------------------------------------------------------------

    def step(self, distance: int) -> bool:
        """The item before or after; says so at either end."""
        moved = self._window.library.step(distance)
        if not moved and self._session.item is not None:
            end = (
                self.tr("This is the last item.")
                if distance > 0
                else self.tr("This is the first item.")
            )
            self._window.status.say(end)
        return moved

    def step_unlabelled(self, direction: int) -> None:
        """The next item in the list that nobody has labelled."""
        from dataclasses import replace

        query = self._window.library.query()
        current = self._session.item

        def work(project: Project) -> int | None:
            wanted = set(project.item_ids(replace(query, status="unlabelled")))
            ids = project.item_ids(query)
            place = ids.index(current) if current in ids else -1
            rest = ids[place + 1 :] if direction > 0 else ids[: max(0, place)][::-1]
            return next((item_id for item_id in rest if item_id in wanted), None)

        def done(item_id: int | None) -> None:
            if item_id is None:
                self._window.status.say(self.tr("No unlabelled item in that direction."))
            else:
                self._session.set_item(item_id)

        self._bridge.project(work, done, lane="step")

    def search(self) -> None:
        self._window.library.search.setFocus()
        self._window.library.search.selectAll()

    def toggle_full_screen(self) -> None:
        if self._window.isFullScreen():
            self._window.showNormal()
        else:
            self._window.showFullScreen()

    # Labels and annotations ------------------------------------------------------------------

    def label_by_key(self, key: str) -> None:
        """A number key labels and goes on; 0 takes the label away."""
        if key == "0":
            self._window.project.label(self._targets(), None)
            return
        label = self._window.labels.label_for_key(key)
        if label is None:
            self._window.status.say(self.tr("No label has the key {key}.").format(key=key))
            return
        self.choose_label(label)

    def choose_label(self, label: str) -> None:
        """The selected box gets the label, else the selected items do."""
        self._session.active_label = label
        shape = self._window.viewer.canvas.selected_shape()
        if shape is not None:
            self._window.project.change_annotation(shape.id, label=label)
            return
        if self._session.tool is Tool.BOX:
            self._window.labels.refresh()
            self._window.status.say(self.tr("New boxes are {label}.").format(label=label))
            return
        targets = self._targets()
        self._window.project.label(targets, label)
        if len(targets) == 1 and self._window.labels.auto_advance.isChecked():
            self.step(1)

    def _targets(self) -> list[int]:
        selection = self._session.selection
        if len(selection) > 1:
            return list(selection)
        return [] if self._session.item is None else [self._session.item]

    def edit_labels(self) -> None:
        if self._session.project is None:
            return
        self._bridge.thumbnail(_offered_sets, self._ask_labels)

    def _ask_labels(self, offered: tuple[LabelSet, ...]) -> None:
        changed = LabelsDialog.ask(self._window, self._session.labels, offered)
        if changed is not None:
            self._window.project.set_labels(changed)

    def add_box(self, corners: tuple[float, float, float, float]) -> None:
        """A box drawn on the canvas becomes an annotation."""
        item, frame = self._session.item, self._window.viewing.shown_frame
        if item is None:
            return
        label = self._window.viewing.box_label() or self._ask_box_label()
        if not label:
            return
        self._session.active_label = label
        box = Box(*corners, label=label)
        canvas = self._window.viewer.canvas
        self._window.project.add_box(item, frame, box, canvas.select_later)

    def _ask_box_label(self) -> str | None:
        names = [label.name for label in self._session.labels.labels]
        return TextDialog.ask(
            self._window,
            self.tr("Label of the box"),
            self.tr("Label"),
            self._session.active_label or (names[0] if names else ""),
            choices=names,
        )

    def add_middle_box(self) -> None:
        """A box in the middle, for those who draw by keys: arrows move and resize it."""
        canvas = self._window.viewer.canvas
        if canvas.has_picture:
            width, height = canvas.image_size
            self.add_box((width * 0.375, height * 0.375, width * 0.625, height * 0.625))
            canvas.setFocus()

    def change_box(self, annotation_id: int, box: Box) -> None:
        self._window.project.change_box(annotation_id, box)

    def delete_selected(self) -> None:
        """The box selected on the canvas, or what is selected in the list."""
        if self._window.labels.annotations.hasFocus():
            self._window.labels.delete_selected()
            return
        shape = self._window.viewer.canvas.selected_shape()
        if shape is not None:
            self._window.project.delete_annotations([shape.id])

    def edit_selected(self) -> None:
        shape = self._window.viewer.canvas.selected_shape()
        if shape is not None:
            self.edit_annotation(shape.id)

    def edit_annotation(self, annotation_id: int) -> None:
        """Change the label of a label or box, or the words of a text."""
        records = {a.id: a for a in self._window.viewing.frame_annotations()}
        record = records.get(annotation_id)
        if record is None:
            return
        if record.kind == "text":
            text = TextDialog.ask(
                self._window, self.tr("Text"), self.tr("Text"), record.text or "", many_lines=True
            )
            if text:
                self._window.project.change_annotation(annotation_id, text=text)
            return
        names = [label.name for label in self._session.labels.labels]
        label = TextDialog.ask(
            self._window, self.tr("Label"), self.tr("Label"), record.label, choices=names
        )
        if label:
            self._window.project.change_annotation(annotation_id, label=label)

    def add_text(self) -> None:
        item, frame = self._session.item, self._session.frame
        if item is None:
            return
        text = TextDialog.ask(
            self._window, self.tr("Write a text"), self.tr("Text"), many_lines=True
        )
        if text:
            self._window.project.write(lambda p: p.add_text(item, frame, text), item_ids=())

    # Models ----------------------------------------------------------------------------------

    def choices(self) -> RunChoices:
        """What the run dialog can offer now."""
        engine, library = self._window.engine, self._window.library
        listed = tuple(library.model.ids_between(0, library.model.rowCount()))
        return RunChoices(
            engine.installed,
            self._session.labels,
            self._session.item,
            self._session.selection,
            listed,
            self._window.library.total,
            tuple(v.label for v in reversed(engine.versions)),
            engine.active_version,
        )

    def predict(self) -> None:
        self._run_dialog(one_item=True)

    def run(self) -> None:
        self._run_dialog(one_item=False)

    def _run_dialog(self, *, one_item: bool) -> None:
        if self._session.project is None:
            return
        request = RunDialog.ask(self.choices(), self._window, one_item=one_item)
        if request is None:
            return
        item = self._session.item
        if one_item and item is not None and request.item_ids == (item,):
            frame = self._window.viewing.shown_frame
            self._window.engine.predict(item, frame, request.spec.to_json())
            return
        self._window.engine.run(request)
        self._window.show_tab(self._window.jobs)

    def accept_and_go_on(self) -> None:
        if self._session.item is not None:
            self._window.project.accept_best(self._session.item, self._session.frame)
            self.step(1)

    def edit_prediction(self, choice: Choice) -> None:
        """Accept a prediction with another label or text; boxes are edited on the canvas."""
        prediction = choice.prediction
        outcome = prediction.outcome
        if prediction.task is Task.CLASSIFY:
            names = [label.name for label in self._session.labels.labels]
            names += [s.label for s in outcome.scores if s.label not in names]
            value = choice.label or (outcome.scores[0].label if outcome.scores else "")
            label = TextDialog.ask(
                self._window, self.tr("Correct label"), self.tr("Label"), value, choices=names
            )
            if label:
                self._correct(choice, label=label)
        elif prediction.task is Task.DETECT:
            self._correct(choice, boxes=[choice.box] if choice.box else list(outcome.boxes))
            self._window.status.say(self.tr("Accepted; move and resize the boxes in the picture."))
        else:
            text = outcome.text or "\n".join(line.text for line in outcome.lines)
            text_now = TextDialog.ask(
                self._window, self.tr("Correct text"), self.tr("Text"), text, many_lines=True
            )
            if text_now:
                self._correct(choice, text=text_now)

    def _correct(self, choice: Choice, **correction: Any) -> None:
        self._window.project.correct(choice, FindingStatus.EDITED, **correction)

    def train(self) -> None:
        self._window.training.open()

    # Help ------------------------------------------------------------------------------------

    def show_keys(self) -> None:
        CheatSheet(self._window.actions_.keys(), self._window).exec()

    def show_help(self, page: str = "") -> None:
        HelpDialog(self._window, page=page).exec()

    def show_about(self) -> None:
        AboutDialog(self._window).exec()

    def current_input(self, accepts: Sequence[MediaKind]) -> list[Path]:
        """The file of the current item, if a workflow that takes these kinds can use it."""
        detail = self._window.viewing.detail
        if detail is None or detail.record.kind not in accepts:
            return []
        return [detail.record.path]


def _offered_sets() -> tuple[LabelSet, ...]:
    from vlmtool_core.hooks.manager import plugin_manager

    return plugin_manager().label_sets()
