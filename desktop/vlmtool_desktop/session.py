"""What the window is looking at: project, item, frame, selection, tool. No Qt in here.

Views take the session in their constructor and listen to its signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vlmtool_core.records import LabelSet
from vlmtool_core.signals import Signal


class Tool(StrEnum):
    SELECT = "select"
    PAN = "pan"
    BOX = "box"
    DISTANCE = "distance"
    POLYLINE = "polyline"
    ANGLE = "angle"
    COBB = "cobb"
    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"
    FREEHAND = "freehand"
    PROBE = "probe"


class Overlay(StrEnum):
    """What may be drawn over the picture."""

    ANNOTATIONS = "annotations"
    PREDICTIONS = "predictions"
    TEXT = "text"
    CAPTION = "caption"
    GRAPHICS = "graphics"
    CORNERS = "corners"
    LETTERS = "letters"


@dataclass(frozen=True, slots=True)
class OpenProject:
    """The open project as far as the window must know it at any time."""

    root: Path
    name: str
    can_undo: bool = False
    can_redo: bool = False
    label_set: LabelSet = field(default_factory=lambda: LabelSet("labels", ()))


class Session:
    """One window's state. Setting a value that it already has announces nothing."""

    def __init__(self) -> None:
        self.project_changed: Signal[[]] = Signal()
        self.history_changed: Signal[[]] = Signal()
        self.labels_changed: Signal[[]] = Signal()
        self.item_changed: Signal[[]] = Signal()
        self.frame_changed: Signal[[]] = Signal()
        self.selection_changed: Signal[[]] = Signal()
        self.tool_changed: Signal[[]] = Signal()
        self.overlays_changed: Signal[[]] = Signal()
        self.content_changed: Signal[[]] = Signal()
        self._project: OpenProject | None = None
        self._item: int | None = None
        self._frame = 0
        self._selection: tuple[int, ...] = ()
        self._tool = Tool.SELECT
        self._overlays = frozenset(Overlay)
        self.frame_count = 1
        self.active_label = ""

    @property
    def project(self) -> OpenProject | None:
        return self._project

    @property
    def labels(self) -> LabelSet:
        return self._project.label_set if self._project else LabelSet("labels", ())

    @property
    def item(self) -> int | None:
        """The id of the item in the viewer."""
        return self._item

    @property
    def frame(self) -> int:
        return self._frame

    @property
    def selection(self) -> tuple[int, ...]:
        """The ids of the items selected in the library, the current one among them."""
        return self._selection

    @property
    def tool(self) -> Tool:
        return self._tool

    @property
    def overlays(self) -> frozenset[Overlay]:
        return self._overlays

    def set_project(self, project: OpenProject | None) -> None:
        """Open another project, or none: item, frame and selection start anew."""
        self._project = project
        self._item, self._frame, self._selection = None, 0, ()
        self.frame_count = 1
        self.project_changed.emit()
        self.labels_changed.emit()
        self.history_changed.emit()
        self.item_changed.emit()
        self.selection_changed.emit()

    def update_project(self, project: OpenProject) -> None:
        """Take over undo state and labels of the same project after a change."""
        before, self._project = self._project, project
        if before is None or before.label_set != project.label_set:
            self.labels_changed.emit()
        self.history_changed.emit()

    def set_item(self, item_id: int | None, *, frame: int = 0) -> None:
        """Look at another item."""
        if item_id == self._item:
            self.set_frame(frame)
            return
        self._item, self._frame, self.frame_count = item_id, frame, 1
        self.item_changed.emit()

    def set_frame_count(self, count: int) -> None:
        """How many frames the current item has; known once it is open."""
        self.frame_count = max(1, count)
        self.set_frame(self._frame)

    def set_frame(self, frame: int) -> None:
        """Look at another frame of the item, clamped to what there is."""
        frame = max(0, min(frame, self.frame_count - 1)) if self.frame_count > 1 else frame
        if frame != self._frame:
            self._frame = frame
            self.frame_changed.emit()

    def set_selection(self, item_ids: Sequence[int]) -> None:
        if tuple(item_ids) != self._selection:
            self._selection = tuple(item_ids)
            self.selection_changed.emit()

    def set_tool(self, tool: Tool) -> None:
        if tool != self._tool:
            self._tool = tool
            self.tool_changed.emit()

    def toggle_overlay(self, overlay: Overlay) -> None:
        self._overlays = self._overlays ^ {overlay}
        self.overlays_changed.emit()

    def content_has_changed(self) -> None:
        """Annotations, predictions or findings were written: views read them again."""
        self.content_changed.emit()
