"""Opens and creates projects, adds files, and writes what people decide. All off this thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, Signal

from vlmtool_core.records import (
    Box,
    ErrorInfo,
    Finding,
    FindingStatus,
    LabelSet,
    OutcomeStatus,
    Task,
)
from vlmtool_desktop.bridge import Bridge, open_or_create
from vlmtool_desktop.recent import remember_project
from vlmtool_desktop.session import OpenProject, Session

if TYPE_CHECKING:
    from vlmtool_core.project import HistoryEntry, Project
    from vlmtool_desktop.panels.predictions import Choice

T = TypeVar("T")
HISTORY_LENGTH = 100


def read_state(project: Project) -> OpenProject:
    """Undo state and labels; runs in the project's thread."""
    return OpenProject(
        project.root, project.name, project.can_undo(), project.can_redo(), project.label_set()
    )


@dataclass(frozen=True)
class _Written:
    value: Any
    state: OpenProject


class ProjectController(QObject):
    """Acts on the open project and keeps the session in step with it."""

    items_changed = Signal()
    item_contents_changed = Signal(object)
    said = Signal(str)
    history_read = Signal(object)
    stepped = Signal()

    def __init__(self, session: Session, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._bridge = bridge

    # Opening ---------------------------------------------------------------------------------

    def open(self, root: Path, *, create: bool = False, name: str = "", then: Any = None) -> None:
        """Open a project, or make one; `then` is called when it is open."""

        def opened(_project: Project) -> None:
            self._bridge.project(read_state, shown)

        def shown(state: OpenProject) -> None:
            remember_project(state.root, state.name)
            self._session.set_project(state)
            self.items_changed.emit()
            if then is not None:
                then()

        self._bridge.open_project(open_or_create(root, create=create, name=name), opened)

    def close(self) -> None:
        """Close the project and show the start page."""
        self._bridge.close_project()
        self._session.set_project(None)
        self.items_changed.emit()

    def add(self, paths: Sequence[Path], group_by: str | None = None) -> None:
        """Take files and folders into the project, in the engine host."""
        project = self._session.project
        if project is None:
            return
        params = {
            "project": str(project.root),
            "paths": [str(path) for path in paths],
            "group_by": group_by,
        }
        title = self.tr("Add {names}").format(names=", ".join(p.name for p in paths[:3]))

        def done(result: Any) -> None:
            if self._is_open(project.root):
                self.items_changed.emit()
                self.refresh_state()
            self.said.emit(self.added_text(result))

        self._bridge.request("add", params, title=title, done=done)

    def _is_open(self, root: Path) -> bool:
        return self._session.project is not None and self._session.project.root == root

    def added_text(self, result: Any) -> str:
        """What adding came to, for the status bar."""
        words = [self.tr("Added {n}").format(n=result.get("added", 0))]
        for key, text in (
            ("unchanged", self.tr("{n} were there already")),
            ("refound", self.tr("{n} had moved")),
        ):
            if result.get(key):
                words.append(text.format(n=result[key]))
        for key, text in (
            ("duplicates", self.tr("{n} have the same content as another")),
            ("unreadable", self.tr("{n} cannot be read")),
        ):
            if result.get(key):
                words.append(text.format(n=len(result[key])))
        return ", ".join(words)

    # Writing ---------------------------------------------------------------------------------

    def write(
        self,
        work: Callable[[Project], T],
        done: Callable[[T], None] | None = None,
        *,
        item_ids: Sequence[int] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Do something undoable to the project, then show its new state.

        item_ids : the items whose looks may have changed, None for all
        failed : called after the error was told, when nothing was written
        """

        def call(project: Project) -> _Written:
            return _Written(work(project), read_state(project))

        def written(result: _Written) -> None:
            self._session.update_project(result.state)
            self.item_contents_changed.emit(None if item_ids is None else list(item_ids))
            self._session.content_has_changed()
            if done is not None:
                done(result.value)

        def refused(error: ErrorInfo) -> None:
            self._bridge.failed.emit(error)
            if failed is not None:
                failed()

        self._bridge.project(call, written, refused)

    def refresh_state(self) -> None:
        """Read undo state and labels again, after another process wrote."""
        if self._session.project is not None:
            self._bridge.project(read_state, self._session.update_project, lane="state")

    def undo(self) -> None:
        self.write(lambda p: p.undo(), lambda what: self._stepped(self.tr("Undone: {what}"), what))

    def redo(self) -> None:
        self.write(
            lambda p: p.redo(), lambda what: self._stepped(self.tr("Done again: {what}"), what)
        )

    def _stepped(self, text: str, what: str | None) -> None:
        self.stepped.emit()
        self._say(text, what)

    def _say(self, text: str, what: str | None) -> None:
        self.said.emit(text.format(what=what) if what else self.tr("There is nothing more."))

    def read_history(self) -> None:
        def work(project: Project) -> list[HistoryEntry]:
            return project.history(HISTORY_LENGTH)

        if self._session.project is not None:
            self._bridge.project(work, self.history_read.emit, lane="history")

    # Labels and annotations ------------------------------------------------------------------

    def label(self, item_ids: Sequence[int], label: str | None) -> None:
        """Label items, or take their labels away."""
        ids = list(item_ids)
        if ids:
            self.write(lambda p: p.set_label(ids, label), item_ids=ids)

    def add_label(self, name: str) -> None:
        self.write(lambda p: p.ensure_labels([name]), item_ids=())

    def set_labels(self, label_set: LabelSet) -> None:
        self.write(lambda p: p.set_label_set(label_set), item_ids=())

    def add_box(self, item_id: int, frame: int, box: Box, done: Callable[[int], None]) -> None:
        def work(project: Project) -> int:
            project.ensure_labels([box.label])
            return project.add_box(item_id, frame, box)

        self.write(work, done, item_ids=(item_id,))

    def change_box(self, annotation_id: int, box: Box) -> None:
        self.write(lambda p: p.update_annotation(annotation_id, box=box), item_ids=())

    def change_annotation(
        self, annotation_id: int, *, label: str | None = None, text: str | None = None
    ) -> None:
        self.write(lambda p: p.update_annotation(annotation_id, label=label, text=text))

    def delete_annotations(self, ids: Sequence[int]) -> None:
        wanted = list(ids)
        self.write(lambda p: p.delete_annotations(wanted))

    # Deciding --------------------------------------------------------------------------------

    def decide(self, choice: Choice, status: FindingStatus) -> None:
        """Accept or reject a prediction; a chosen score or box is accepted alone."""
        prediction = choice.prediction
        label, boxes = None, None
        if status is FindingStatus.ACCEPTED:
            top = prediction.outcome.scores[:1]
            if choice.label is not None and top and choice.label != top[0].label:
                status, label = FindingStatus.EDITED, choice.label
            elif choice.box is not None and len(prediction.outcome.boxes) > 1:
                status, boxes = FindingStatus.EDITED, [choice.box]
        self.correct(choice, status, label=label, boxes=boxes)

    def correct(
        self,
        choice: Choice,
        status: FindingStatus,
        *,
        label: str | None = None,
        boxes: Sequence[Box] | None = None,
        text: str | None = None,
    ) -> None:
        prediction = choice.prediction
        self.write(
            lambda p: p.decide_predictions(
                [prediction.id], status, label=label, boxes=boxes, text=text
            ),
            item_ids=(prediction.item_id,),
        )

    def accept_best(self, item_id: int, frame: int) -> None:
        """Accept the newest open classification of a frame, for accept-and-go-on."""

        def work(project: Project) -> int:
            found = project.predictions(item_id, frame=frame, task=Task.CLASSIFY)
            ids = [
                p.id
                for p in found
                if p.outcome.status is OutcomeStatus.OK and p.decision is FindingStatus.PENDING
            ]
            return project.decide_predictions(ids[:1], FindingStatus.ACCEPTED) if ids else 0

        def done(count: int) -> None:
            if not count:
                self.said.emit(self.tr("There is no open classification to accept."))

        self.write(work, done, item_ids=(item_id,))

    def decide_finding(
        self, finding: Finding, status: FindingStatus, label: str | None, note: str
    ) -> None:
        if finding.id is None:
            return
        number = finding.id
        ids = () if finding.item_id is None else (finding.item_id,)
        self.write(
            lambda p: p.decide_findings([number], status, label=label, note=note), item_ids=ids
        )
