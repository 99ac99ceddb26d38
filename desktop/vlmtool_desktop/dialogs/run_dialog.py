"""Runs a model over items: which task, model, labels, question, threshold, and which items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Label, LabelSet, Task
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.installed import Installed
from vlmtool_desktop.widgets.parts import column, push_button, text_label

if TYPE_CHECKING:
    from vlmtool_core.batch import RunSpec

_OWN, _PROJECT, _THESE = "own", "project", "these"
# Which fields a task needs.
_FIELDS: dict[Task, tuple[str, ...]] = {
    Task.CLASSIFY: ("labels", "exclusive", "threshold"),
    Task.DETECT: ("labels", "threshold"),
    Task.CAPTION: ("prompt",),
    Task.ASK: ("question",),
    Task.READ: (),
    Task.EMBED: (),
}


@dataclass(frozen=True)
class RunRequest:
    """What the dialog asks for; `item_ids` is None for all items of the project."""

    spec: RunSpec
    item_ids: tuple[int, ...] | None
    retry_failed: bool = False


@dataclass(frozen=True)
class RunChoices:
    """What the dialog can offer.

    versions : names of the trained versions, newest first; active : the one in use
    """

    installed: Installed
    label_set: LabelSet
    current: int | None = None
    selection: tuple[int, ...] = ()
    listed: tuple[int, ...] = ()
    total: int = 0
    versions: tuple[str, ...] = ()
    active: str = ""


class RunDialog(QDialog):
    """The same fields for one picture and for many; only the default of "items" differs."""

    def __init__(
        self, choices: RunChoices, parent: QWidget | None = None, *, one_item: bool = False
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Run a model"))
        self.setMinimumWidth(560)
        self._choices = choices
        self._form = QFormLayout()
        self._form.setVerticalSpacing(9)
        self.task = QComboBox()
        self.model = QComboBox()
        self.label_source = QComboBox()
        self.labels = QLineEdit()
        self.exclusive = QCheckBox(self.tr("Exactly one label holds"))
        self.question = QLineEdit()
        self.prompt = QLineEdit()
        self.threshold = QDoubleSpinBox()
        self.frames = QComboBox()
        self.retry = QCheckBox(self.tr("Try failed ones again"))
        self.message = text_label("", "danger", wrap=True)
        self.items = QButtonGroup(self)
        self._build(one_item)
        self.task.currentIndexChanged.connect(lambda _index: self._task_changed())
        self.label_source.currentIndexChanged.connect(lambda _index: self._labels_changed())
        self._task_changed()

    # Making it -------------------------------------------------------------------------------

    def _build(self, one_item: bool) -> None:
        self._fill_tasks()
        self._fill_labels()
        self.exclusive.setChecked(self._choices.label_set.exclusive)
        self.question.setPlaceholderText(self.tr("Is there a person in the picture?"))
        self.prompt.setPlaceholderText(self.tr("Left empty: describe the picture"))
        self.threshold.setRange(-0.01, 1.0)
        self.threshold.setSingleStep(0.05)
        self.threshold.setSpecialValueText(self.tr("the model's own"))
        self.threshold.setValue(-0.01)
        for text, value in (
            (self.tr("Stills: the first; series and video: evenly spaced"), "every"),
            (self.tr("Only the first"), "first"),
            (self.tr("All frames"), "all"),
        ):
            self.frames.addItem(text, value)
        rows: tuple[tuple[str, QWidget], ...] = (
            (self.tr("Task"), self.task),
            (self.tr("Model"), self.model),
            (self.tr("Labels"), self.label_source),
            ("", self.labels),
            ("", self.exclusive),
            (self.tr("Question"), self.question),
            (self.tr("Prompt"), self.prompt),
            (self.tr("Least score"), self.threshold),
            (self.tr("Frames"), self.frames),
            (self.tr("Items"), self._make_items(one_item)),
            ("", self.retry),
        )
        for name, field in rows:
            if name:
                field.setAccessibleName(name)
            self._form.addRow(name, field)
        self.labels.setAccessibleName(self.tr("Labels, divided by commas"))
        self._add_buttons()

    def _add_buttons(self) -> None:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.run_button = push_button(self.tr("Run"), "run", primary=True)
        self.run_button.setDefault(True)
        buttons.addButton(self.run_button, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        note = text_label(
            self.tr("A run never changes what people decided; you accept its results later."),
            "muted",
            wrap=True,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.setSpacing(12)
        layout.addLayout(self._form)
        layout.addWidget(self.message)
        layout.addWidget(note)
        layout.addWidget(buttons)
        self.message.hide()

    def _fill_tasks(self) -> None:
        for text, task in (
            (self.tr("Classify: which label fits"), Task.CLASSIFY),
            (self.tr("Detect: where things are"), Task.DETECT),
            (self.tr("Caption: describe in a sentence"), Task.CAPTION),
            (self.tr("Ask: answer a question"), Task.ASK),
            (self.tr("Read: text in the picture"), Task.READ),
            (self.tr("Embed: features, for search and training"), Task.EMBED),
        ):
            self.task.addItem(text, task)

    def _fill_labels(self) -> None:
        names = [label.name for label in self._choices.label_set.labels]
        if names:
            text = self.tr("Of the project: {names}")
            short = ", ".join(names[:4]) + ("…" if len(names) > 4 else "")
            self.label_source.addItem(text.format(names=short), _PROJECT)
        self.label_source.addItem(self.tr("The model's own"), _OWN)
        self.label_source.addItem(self.tr("These:"), _THESE)
        self.labels.setPlaceholderText(self.tr("cat, dog, empty room"))

    def _make_items(self, one_item: bool) -> QWidget:
        offered: list[tuple[str, tuple[int, ...] | None]] = []
        c = self._choices
        if c.current is not None:
            here = (
                self.tr("The frame in the viewer")
                if one_item
                else self.tr("The item in the viewer")
            )
            offered.append((here, (c.current,)))
        if len(c.selection) > 1:
            text = self.tr("The {n} selected").format(n=f"{len(c.selection):,}")
            offered.append((text, c.selection))
        if len(c.listed) != c.total:
            text = self.tr("The {n} listed").format(n=f"{len(c.listed):,}")
            offered.append((text, c.listed))
        offered.append((self.tr("All {n}").format(n=f"{c.total:,}"), None))
        holder = QWidget()
        layout = column(spacing=3)
        self._offered = [ids for _text, ids in offered]
        default = 0 if one_item else len(offered) - 1
        if not one_item and len(c.selection) > 1:
            default = self._offered.index(c.selection)
        for number, (text, _ids) in enumerate(offered):
            button = QRadioButton(text)
            button.setChecked(number == default)
            self.items.addButton(button, number)
            layout.addWidget(button)
        holder.setLayout(layout)
        return holder

    # Following the task ----------------------------------------------------------------------

    def _task_changed(self) -> None:
        task = Task(self.task.currentData())
        fields = _FIELDS[task]
        for name in ("question", "prompt", "threshold"):
            self._form.setRowVisible(getattr(self, name), name in fields)
        self._form.setRowVisible(self.exclusive, "exclusive" in fields)
        self._form.setRowVisible(self.label_source, "labels" in fields)
        self._fill_models(task)
        self._labels_changed()

    def _fill_models(self, task: Task) -> None:
        self.model.clear()
        if task is Task.CLASSIFY:
            for version in self._choices.versions:
                text = self.tr("{version}, trained in this project").format(version=version)
                if version == self._choices.active:
                    text = self.tr("{text} (in use)").format(text=text)
                self.model.addItem(text, version)
        self.model.addItem(self.tr("The default for this task"), None)
        for pack in self._choices.installed.models_for(task):
            self.model.addItem(f"{pack.id} {pack.version}", pack.id)
        active = self.model.findData(self._choices.active) if self._choices.active else -1
        self.model.setCurrentIndex(
            active if active >= 0 else self.model.findText(self.tr("The default for this task"))
        )

    def _labels_changed(self) -> None:
        visible = "labels" in _FIELDS[Task(self.task.currentData())]
        own = self.label_source.currentData() == _THESE
        self._form.setRowVisible(self.labels, visible and own)

    # The result ------------------------------------------------------------------------------

    def chosen_labels(self) -> tuple[Label, ...]:
        source = self.label_source.currentData()
        if "labels" not in _FIELDS[Task(self.task.currentData())] or source == _OWN:
            return ()
        if source == _PROJECT:
            return self._choices.label_set.labels
        names = dict.fromkeys(n.strip() for n in self.labels.text().split(",") if n.strip())
        return tuple(Label(name) for name in names)

    def request(self) -> RunRequest:
        """What was asked for.

        Raises
        ------
        UsageError : a question is missing, or the labels are.
        """
        from vlmtool_core.batch import RunSpec

        task = Task(self.task.currentData())
        fields = _FIELDS[task]
        labels = self.chosen_labels()
        if self.label_source.currentData() == _THESE and "labels" in fields and not labels:
            raise UsageError("name at least one label", field="labels")
        threshold = self.threshold.value() if "threshold" in fields else -1.0
        spec = RunSpec(
            task=task,
            model=self.model.currentData(),
            labels=labels,
            exclusive=self.exclusive.isChecked(),
            question=self.question.text().strip() or None if "question" in fields else None,
            prompt=self.prompt.text().strip() or None if "prompt" in fields else None,
            threshold=threshold if threshold >= 0 else None,
            frames=self.frames.currentData(),
        )
        ids: Sequence[int] | None = self._offered[self.items.checkedId()]
        return RunRequest(
            spec, None if ids is None else tuple(ids), retry_failed=self.retry.isChecked()
        )

    def _accept(self) -> None:
        try:
            self.request()
        except UsageError as error:
            self.message.setText(sentence(error.message))
            self.message.show()
            return
        self.accept()

    @classmethod
    def ask(
        cls, choices: RunChoices, parent: QWidget | None, *, one_item: bool = False
    ) -> RunRequest | None:
        dialog = cls(choices, parent, one_item=one_item)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return None
        return dialog.request()
