"""The review queue: findings that a person should decide on, one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import (
    QComboBox,
    QLineEdit,
    QListView,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from vlmtool_core.records import Finding, FindingStatus, Json
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.models.course import clock
from vlmtool_desktop.models.finding_model import FindingModel, FindingRole
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import (
    EmptyState,
    as_panel,
    column,
    frame,
    panel_key,
    push_button,
    row,
    text_label,
)

Index = QModelIndex | QPersistentModelIndex
_ROW = QSize(200, 46)


def readable(value: Json) -> str:
    """A value of a finding's data as a person would write it: lists and tables without brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {readable(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(readable(inner) for inner in value)
    return f"{value:.2f}" if isinstance(value, float) else str(value)


class FindingDelegate(QStyledItemDelegate):
    """Two lines per finding: what it is, and where with which score."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return _ROW

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        finding = index.data(FindingRole)
        if finding is None:
            return
        painter.save()
        colours = theme()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, colours.colour("accent-soft"))
            bar = QRect(option.rect.topLeft(), QSize(3, option.rect.height()))
            painter.fillRect(bar, colours.colour("accent"))
        room = option.rect.adjusted(12, 5, -10, -4)
        score = "" if finding.score is None else f"{finding.score:.0%}"
        metrics = QFontMetrics(option.font)
        width = metrics.horizontalAdvance(score)
        bold = QFont(option.font)
        bold.setBold(True)
        painter.setFont(bold)
        painter.setPen(colours.colour("text"))
        line = QRect(room.topLeft(), QSize(room.width() - width - 8, metrics.height()))
        title = QFontMetrics(bold).elidedText(
            finding.title, Qt.TextElideMode.ElideRight, line.width()
        )
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, title)
        painter.setFont(option.font)
        painter.setPen(colours.colour("text-muted"))
        top = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
        painter.drawText(room, top, score)
        where = metrics.elidedText(place(finding), Qt.TextElideMode.ElideMiddle, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignBottom, where)
        painter.restore()


def place(finding: Finding) -> str:
    """File and time span of a finding, in a line."""
    name = finding.path.replace("\\", "/").rsplit("/", 1)[-1]
    name = discretion().item_name(name, finding.item_id)
    if finding.time_span_s is None:
        return name
    start, end = finding.time_span_s
    return f"{name} · {clock(start)} – {clock(end)}"


class ReviewPanel(QWidget):
    """A list of findings with the selected one in full below, and four keys to decide."""

    finding_selected = Signal(object)
    decided = Signal(object, object, object, str)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        as_panel(self)
        self.model = FindingModel(bridge, self)
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setItemDelegate(FindingDelegate(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setProperty("frameless", True)
        self.list.setAccessibleName(self.tr("Findings"))
        self.status = QComboBox()
        self.note = QLineEdit()
        self.title = text_label("", "heading", wrap=True)
        self.details = text_label("", "muted", wrap=True)
        self._stack = QStackedWidget()
        self._chosen: int | None = None
        self._build()
        self.list.selectionModel().currentChanged.connect(self._current_changed)
        self.model.modelReset.connect(self._loaded)
        self._show(None)

    def _build(self) -> None:
        for text, value in (
            (self.tr("To decide"), FindingStatus.PENDING),
            (self.tr("Accepted"), FindingStatus.ACCEPTED),
            (self.tr("Rejected"), FindingStatus.REJECTED),
            (self.tr("Edited"), FindingStatus.EDITED),
            (self.tr("All"), None),
        ):
            self.status.addItem(text, value)
        self.status.setAccessibleName(self.tr("Which findings"))
        self.status.currentIndexChanged.connect(lambda _index: self.reload())
        self._stack.addWidget(self.list)
        self._stack.addWidget(
            EmptyState(
                self.tr("Nothing to review"),
                self.tr("Findings of workflows appear here, one by one, for your decision."),
                "review",
            )
        )
        head = row(self.status)
        layout = column(frame("bar", head, (8, 8, 8, 8)), self._stack, spacing=0)
        layout.setStretch(1, 1)
        layout.addWidget(self._make_details())
        self.setLayout(layout)
        for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            panel_key(self, key, self.accept)
        panel_key(self, Qt.Key.Key_Backspace, self.reject)
        panel_key(self, Qt.Key.Key_E, self.edit)
        panel_key(self, Qt.Key.Key_S, self.skip)

    def _make_details(self) -> QWidget:
        self.note.setPlaceholderText(self.tr("Note, kept with the decision"))
        self.note.setAccessibleName(self.tr("Note"))
        self.accept_button = push_button(
            self.tr("Accept"), "accept", primary=True, tip=self.tr("Accept (Enter)")
        )
        self.reject_button = push_button(
            self.tr("Reject"), "reject", tip=self.tr("Reject (Backspace)")
        )
        self.edit_button = push_button(self.tr("Edit…"), "edit", tip=self.tr("Correct (E)"))
        self.skip_button = push_button(self.tr("Skip"), "skip", tip=self.tr("Skip (S)"))
        self.accept_button.clicked.connect(self.accept)
        self.reject_button.clicked.connect(self.reject)
        self.edit_button.clicked.connect(self.edit)
        self.skip_button.clicked.connect(self.skip)
        body = column(self.title, self.details, self.note, spacing=6)
        body.addLayout(row(self.accept_button, self.reject_button))
        body.addLayout(row(self.edit_button, self.skip_button))
        self._details = frame("footer", body, (10, 10, 10, 10))
        return self._details

    def reload(self) -> None:
        """Read the findings of the chosen status again."""
        self.model.reload(self._wanted())

    def _wanted(self) -> FindingStatus | None:
        # Qt hands an enumeration of strings back as a plain string.
        value = self.status.currentData()
        return None if value is None else FindingStatus(value)

    def forget(self) -> None:
        self._chosen = None
        self.model.forget()

    def page_title(self) -> str:
        """What is said in place of the list, "" while there are findings."""
        page = self._stack.currentWidget()
        return page.title.text() if isinstance(page, EmptyState) else ""

    def current(self) -> Finding | None:
        return self.model.finding(self.list.currentIndex().row())

    def _loaded(self) -> None:
        self._stack.setCurrentIndex(0 if self.model.rowCount() else 1)
        row_number = self.model.row_of(self._chosen) if self._chosen is not None else None
        if row_number is not None:
            self.list.setCurrentIndex(self.model.index(row_number, 0))
        # Nothing is chosen by itself: opening a project must not move the viewer.
        self._show(self.current())

    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        finding = self.model.finding(current.row())
        self._chosen = finding.id if finding is not None else None
        self._show(finding)
        if finding is not None:
            self.finding_selected.emit(finding)

    def _show(self, finding: Finding | None) -> None:
        self._details.setVisible(finding is not None)
        if finding is None:
            return
        self.title.setText(finding.title)
        lines = [place(finding)]
        if finding.label:
            lines.append(self.tr("Label: {label}").format(label=finding.label))
        if finding.score is not None:
            lines.append(self.tr("Score: {score}").format(score=f"{finding.score:.0%}"))
        if finding.model:
            lines.append(self.tr("Says: {model}").format(model=finding.model))
        lines += [f"{key}: {readable(value)}" for key, value in list(finding.data.items())[:6]]
        self.details.setText("\n".join(lines))
        self.note.setText(finding.note)

    # Deciding --------------------------------------------------------------------------------

    def accept(self) -> None:
        self._decide(FindingStatus.ACCEPTED, None)

    def reject(self) -> None:
        self._decide(FindingStatus.REJECTED, None)

    def edit(self) -> None:
        """Accept the finding under another label."""
        finding = self.current()
        if finding is None:
            return
        from vlmtool_desktop.dialogs.text_dialog import TextDialog

        label = TextDialog.ask(
            self, self.tr("Correct the finding"), self.tr("Label"), finding.label
        )
        if label is not None:
            self._decide(FindingStatus.EDITED, label)

    def skip(self) -> None:
        """Go on without a decision."""
        self._go_to(self.list.currentIndex().row() + 1)

    def _decide(self, status: FindingStatus, label: str | None) -> None:
        finding = self.current()
        if finding is None:
            return
        self.decided.emit(finding, status, label, self.note.text().strip())
        position = self.list.currentIndex().row()
        if self._wanted() not in (None, status):
            self.model.drop_row(position)
            self._go_to(min(position, self.model.rowCount() - 1))
        else:
            self._go_to(position + 1)

    def _go_to(self, position: int) -> None:
        if 0 <= position < self.model.rowCount():
            self.list.setCurrentIndex(self.model.index(position, 0))
        elif not self.model.rowCount():
            self._loaded()
        self.list.setFocus()
