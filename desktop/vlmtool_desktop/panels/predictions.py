"""What models say of the frame in the viewer, with accept, reject and edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHeaderView, QStackedWidget, QTreeWidget, QTreeWidgetItem, QWidget

from vlmtool_core.records import Box, FindingStatus, Outcome, OutcomeStatus, Task
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import (
    EmptyState,
    as_panel,
    column,
    panel_key,
    push_button,
    row,
    text_label,
    tool_button,
)

if TYPE_CHECKING:
    from vlmtool_core.project import PredictionRecord

_DATA = Qt.ItemDataRole.UserRole
_MOST_PARTS = 60


@dataclass(frozen=True)
class Choice:
    """What is selected: a prediction, and perhaps one score or box of it."""

    prediction: PredictionRecord
    label: str | None = None
    box: Box | None = None


class PredictionsPanel(QWidget):
    """A row per prediction with its parts below; buttons act on the selected row."""

    decided = Signal(object, object)
    edit_requested = Signal(object)
    predict_requested = Signal()
    seen_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        as_panel(self)
        self._predictions: tuple[PredictionRecord, ...] = ()
        self.tree = QTreeWidget()
        self.tree.setAccessibleName(self.tr("Predictions"))
        self.tree.setHeaderLabels([self.tr("Prediction"), self.tr("Score")])
        self.tree.setProperty("frameless", True)
        self.tree.setIndentation(14)
        self.tree.setUniformRowHeights(False)
        self.tree.setWordWrap(True)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideRight)
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._make_empty())
        self._stack.addWidget(self.tree)
        self._build()
        self.tree.itemSelectionChanged.connect(self._update_buttons)
        theme().changed.connect(self._recolour)
        self._update_buttons()

    def _make_empty(self) -> EmptyState:
        empty = EmptyState(
            self.tr("No prediction yet"),
            self.tr("Ask a model about this picture, or run one over many items."),
            "predict",
        )
        button = push_button(self.tr("Ask a model…"), "predict")
        button.clicked.connect(self.predict_requested)
        empty.add_button(button)
        return empty

    def _build(self) -> None:
        self.accept_button = push_button(
            self.tr("Accept"), "accept", primary=True, tip=self.tr("Accept (Enter)")
        )
        self.reject_button = push_button(
            self.tr("Reject"), "reject", tip=self.tr("Reject (Backspace)")
        )
        self.edit_button = push_button(self.tr("Edit"), "edit", tip=self.tr("Edit (E)"))
        self.accept_button.clicked.connect(self.accept)
        self.reject_button.clicked.connect(self.reject)
        self.edit_button.clicked.connect(self.edit)
        for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            panel_key(self, key, self.accept)
        panel_key(self, Qt.Key.Key_Backspace, self.reject)
        panel_key(self, Qt.Key.Key_E, self.edit)
        self.seen_button = tool_button(self.tr("What the model saw (S)"), "image")
        self.seen_button.clicked.connect(self.show_seen)
        panel_key(self, Qt.Key.Key_S, self.show_seen)
        buttons = row(self.accept_button, self.reject_button, self.edit_button, self.seen_button)
        buttons.setContentsMargins(8, 6, 8, 8)
        title = text_label(self.tr("PREDICTIONS"), "section")
        title.setContentsMargins(10, 8, 10, 4)
        layout = column(title, self._stack, spacing=0)
        layout.setStretch(1, 1)
        layout.addLayout(buttons)
        self.setLayout(layout)

    # Rows ------------------------------------------------------------------------------------

    def _recolour(self) -> None:
        self.set_predictions(self._predictions)

    def set_predictions(self, predictions: Sequence[PredictionRecord]) -> None:
        """Show these predictions; the selection stays with its prediction."""
        before = self.choice()
        self._predictions = tuple(predictions)
        self.tree.clear()
        for prediction in self._predictions:
            item = self._add(prediction)
            if before is not None and before.prediction.id == prediction.id:
                self.tree.setCurrentItem(item)
        first = self.tree.topLevelItem(0)
        if self.tree.currentItem() is None and first is not None:
            self.tree.setCurrentItem(first)
        self._stack.setCurrentIndex(1 if self._predictions else 0)
        self._update_buttons()

    def _add(self, prediction: PredictionRecord) -> QTreeWidgetItem:
        outcome = prediction.outcome
        item = QTreeWidgetItem([self._headline(prediction), self._decision(prediction)])
        item.setData(0, _DATA, Choice(prediction))
        font = item.font(0)
        font.setBold(True)
        item.setFont(0, font)
        item.setToolTip(0, f"{prediction.model}\n{prediction.model.fingerprint[:16]}")
        item.setForeground(1, self._decision_colour(prediction))
        self.tree.addTopLevelItem(item)
        for part in self._parts(prediction, outcome)[:_MOST_PARTS]:
            item.addChild(part)
        item.setExpanded(True)
        return item

    def _headline(self, prediction: PredictionRecord) -> str:
        names = {
            Task.CLASSIFY: self.tr("Classify"),
            Task.DETECT: self.tr("Detect"),
            Task.CAPTION: self.tr("Caption"),
            Task.ASK: self.tr("Answer"),
            Task.READ: self.tr("Read"),
            Task.EMBED: self.tr("Embed"),
        }
        return f"{names[prediction.task]} · {prediction.model}"

    def _decision(self, prediction: PredictionRecord) -> str:
        if prediction.outcome.status is OutcomeStatus.FAILED:
            return self.tr("failed")
        return {
            FindingStatus.PENDING: self.tr("open"),
            FindingStatus.ACCEPTED: self.tr("accepted"),
            FindingStatus.REJECTED: self.tr("rejected"),
            FindingStatus.EDITED: self.tr("edited"),
        }[prediction.decision]

    def _decision_colour(self, prediction: PredictionRecord) -> QColor:
        if prediction.outcome.status is OutcomeStatus.FAILED:
            return theme().colour("danger")
        token = {
            FindingStatus.PENDING: "text-muted",
            FindingStatus.ACCEPTED: "success",
            FindingStatus.REJECTED: "danger",
            FindingStatus.EDITED: "success",
        }[prediction.decision]
        return theme().colour(token)

    def _parts(self, prediction: PredictionRecord, outcome: Outcome) -> list[QTreeWidgetItem]:
        if outcome.status is OutcomeStatus.FAILED:
            return self._failure(outcome)
        if outcome.status is OutcomeStatus.EMPTY:
            return [_part(self.tr("Looked, and found nothing."), "")]
        parts = [
            _part(s.label, f"{s.score:.0%}", Choice(prediction, s.label)) for s in outcome.scores
        ]
        parts += [
            _part(b.label, "" if b.score is None else f"{b.score:.0%}", Choice(prediction, box=b))
            for b in outcome.boxes
        ]
        if outcome.text and not outcome.lines:
            parts.append(_part(outcome.text, "", Choice(prediction)))
        parts += [
            _part(line.text, "" if line.score is None else f"{line.score:.0%}", Choice(prediction))
            for line in outcome.lines
        ]
        parts += [self._evidence(e.kind, e.text, e.score) for e in outcome.evidence[:8]]
        return parts

    def _evidence(self, kind: str, text: str, score: float | None) -> QTreeWidgetItem:
        words = self.tr("rests on {kind}: {text}").format(kind=kind, text=text)
        part = _part(words, "" if score is None else f"{score:.0%}")
        part.setForeground(0, theme().colour("text-muted"))
        return part

    def _failure(self, outcome: Outcome) -> list[QTreeWidgetItem]:
        error = outcome.error
        reason = error.message if error else self.tr("no reason was recorded")
        part = _part(reason, "")
        part.setForeground(0, theme().colour("danger"))
        parts = [part]
        if error and error.remedy:
            parts.append(_part(error.remedy, ""))
        return parts

    # Acting ----------------------------------------------------------------------------------

    def choice(self) -> Choice | None:
        """The selected prediction, with the score or box chosen in it."""
        item = self.tree.currentItem()
        while item is not None:
            data = item.data(0, _DATA)
            if isinstance(data, Choice):
                return data
            item = item.parent()
        return None

    def _decidable(self) -> Choice | None:
        choice = self.choice()
        if choice is None or choice.prediction.outcome.status is OutcomeStatus.FAILED:
            return None
        return None if choice.prediction.task is Task.EMBED else choice

    def _update_buttons(self) -> None:
        enabled = self._decidable() is not None
        for button in (self.accept_button, self.reject_button, self.edit_button):
            button.setEnabled(enabled)
        self.seen_button.setEnabled(self._seeable() is not None)

    def _seeable(self) -> Choice | None:
        """Failed predictions saw nothing, or nothing that is known."""
        choice = self.choice()
        failed = choice and choice.prediction.outcome.status is OutcomeStatus.FAILED
        return None if failed else choice

    def show_seen(self) -> None:
        if choice := self._seeable():
            self.seen_requested.emit(choice)

    def accept(self) -> None:
        if choice := self._decidable():
            self.decided.emit(choice, FindingStatus.ACCEPTED)

    def reject(self) -> None:
        if choice := self._decidable():
            self.decided.emit(choice, FindingStatus.REJECTED)

    def edit(self) -> None:
        if choice := self._decidable():
            self.edit_requested.emit(choice)


def _part(text: str, score: str, choice: Choice | None = None) -> QTreeWidgetItem:
    item = QTreeWidgetItem([text, score])
    item.setToolTip(0, text)
    item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    if choice is not None:
        item.setData(0, _DATA, choice)
    return item
