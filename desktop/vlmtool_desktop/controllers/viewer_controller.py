"""Brings the current item to the viewer: frame, boxes, captions, window, and what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from vlmtool_core.records import ErrorInfo, Finding, FindingStatus, OutcomeStatus
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.canvas.picture import Picture
from vlmtool_desktop.canvas.shapes import Outline, Shape, ShapeKind
from vlmtool_desktop.controllers.read_ahead import ReadAhead
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.dialogs.header_dialog import HeaderDialog
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.models.frame_reader import FrameReader, Loaded, header_of
from vlmtool_desktop.models.item_model import item_ref
from vlmtool_desktop.panels.viewer import ViewerPanel
from vlmtool_desktop.session import Overlay, Session
from vlmtool_desktop.theme import label_colour

if TYPE_CHECKING:
    from vlmtool_core.media import Window
    from vlmtool_core.project import AnnotationRecord, ItemRecord, PredictionRecord, Project

# Fractions of the window's width per pixel of dragging.
_WIDTH_STEP = 1 / 300
_CENTER_STEP = 1 / 300
# A picture that takes longer than this says that it is loading.
SLOW_MS = 300
TEXT_COLOUR = "#56b4e9"


@dataclass(frozen=True)
class Detail:
    """What the project knows of an item."""

    record: ItemRecord
    annotations: tuple[AnnotationRecord, ...]
    predictions: tuple[PredictionRecord, ...]


def load_detail(project: Project, item_id: int) -> Detail:
    """Runs in the project's thread."""
    return Detail(
        project.item(item_id),
        tuple(project.annotations(item_id)),
        tuple(project.predictions(item_id)),
    )


class ViewerController(QObject):
    """One picture at a time; answers for items that were left in the meantime are dropped."""

    detail_changed = Signal(object)
    frame_shown = Signal(object)
    window_changed = Signal(object)

    def __init__(
        self,
        session: Session,
        bridge: Bridge,
        panel: ViewerPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._bridge = bridge
        self._panel = panel
        self._canvas = panel.canvas
        self._reader = FrameReader()
        self.ahead = ReadAhead(bridge, self._reader)
        self._detail: Detail | None = None
        self._loaded: Loaded | None = None
        self._window: Window | None = None
        self._finding: Finding | None = None
        self._slow = QTimer(self)
        self._slow.setSingleShot(True)
        self._slow.setInterval(SLOW_MS)
        self._slow.timeout.connect(lambda: self._canvas.set_note(self.tr("Loading…")))
        session.item_changed.connect(self._item_changed)
        session.frame_changed.connect(self._frame_changed)
        session.content_changed.connect(self.reload)
        session.overlays_changed.connect(self._overlays_changed)
        session.labels_changed.connect(self._draw)
        discretion().changed.connect(self._name_item)
        self._canvas.window_dragged.connect(self._drag_window)
        self._item_changed()

    @property
    def reader(self) -> FrameReader:
        """For the viewer's thread only."""
        return self._reader

    @property
    def detail(self) -> Detail | None:
        return self._detail

    @property
    def loaded(self) -> Loaded | None:
        return self._loaded

    @property
    def shown_frame(self) -> int:
        """The frame whose picture is on the screen; the slider may be ahead of it."""
        return self._session.frame if self._loaded is None else self._loaded.index

    @property
    def window(self) -> Window | None:
        """The DICOM window in use."""
        return self._window

    # Item and frame --------------------------------------------------------------------------

    def _item_changed(self) -> None:
        self._detail = self._loaded = self._window = None
        self._finding = None
        self._canvas.window_drag_enabled = False
        self.ahead.stop()
        self._bridge.drop("frame")
        self._bridge.drop("window")
        self._slow.stop()
        if self._session.item is None:
            self._bridge.drop("detail")
            self._bridge.view(self._reader.close, lambda _none: None)
            self._panel.set_frames(1)
            self._panel.set_item("", "")
            self._panel.set_notes((), ())
            self._canvas.set_note(
                self.tr("No item chosen"), self.tr("Choose one in the library on the left.")
            )
            self.detail_changed.emit(None)
            return
        # The picture before stays for a moment, but nothing may be drawn or written on it.
        self._canvas.set_waiting()
        self._slow.start()
        self.reload()

    def reload(self) -> None:
        """Read again what the project knows of the current item."""
        item = self._session.item
        if item is None or self._session.project is None:
            return
        self._bridge.project(
            lambda project: load_detail(project, item), self._take_detail, lane="detail"
        )

    def _take_detail(self, detail: Detail) -> None:
        first = self._detail is None
        self._detail = detail
        self.detail_changed.emit(detail)
        if first:
            self._name_item()
            if detail.record.error is not None:
                self._panel.set_frames(1)
                self._show_error(detail.record.error)
                return
            self._load_frame()
        self._draw()

    def _name_item(self) -> None:
        if self._detail is not None:
            record = self._detail.record
            name = discretion().item_name(record.name, record.id)
            self._panel.set_item(name, _facts(record))

    def _frame_changed(self) -> None:
        if self._detail is not None:
            self.detail_changed.emit(self._detail)
            self._load_frame()

    def _load_frame(self) -> None:
        record = self._detail.record if self._detail else None
        if record is None or record.kind is None:
            return
        ref = item_ref(record)
        frame = self._session.frame
        window = self._window
        graphics = Overlay.GRAPHICS in self._session.overlays
        self._bridge.view(
            lambda: self._reader.load(ref, frame, window=window, graphics=graphics),
            self._show,
            self._show_error,
            lane="frame",
        )

    def show_anew(self) -> None:
        """Load the frame in view again, in its own window: it is to be seen in another way."""
        self._window = None
        self._load_frame()

    def _show(self, loaded: Loaded) -> None:
        self._slow.stop()
        new_item = self._loaded is None
        self._loaded = loaded
        self._canvas.window_drag_enabled = loaded.values is not None
        if new_item:
            self._session.set_frame_count(loaded.frame_count)
            self._panel.set_frames(loaded.frame_count)
        self._panel.set_time(loaded.time_s)
        self._panel.set_notes(loaded.info.badges, loaded.notes)
        self._canvas.set_picture(self._picture(loaded), keep_view=not new_item)
        # Only true of the window and the drawings that were asked for; both may change now.
        self._loaded = replace(loaded, windowed=None)
        if self._window is None or loaded.window is None:
            self._window = loaded.window
        self.window_changed.emit(self._window)
        self._draw()
        self.ahead.follow(loaded)
        self.frame_shown.emit(loaded)

    def _picture(self, loaded: Loaded) -> Picture:
        """The frame, with the drawings of its file over it unless they are switched off."""
        if loaded.windowed is not None:
            return loaded.windowed
        drawn = loaded.drawn if Overlay.GRAPHICS in self._session.overlays else None
        return drawn or loaded.picture

    def _overlays_changed(self) -> None:
        loaded = self._loaded
        if loaded is not None and loaded.drawn is not None:
            if self._window is not None and self._window != loaded.window:
                self._render(self._window)
            else:
                self._canvas.set_picture(self._picture(loaded), keep_view=True)
        self._draw()

    def _show_error(self, error: ErrorInfo) -> None:
        self._slow.stop()
        self._loaded = None
        self._panel.set_notes((), ())
        self._canvas.set_note(
            self.tr("This item cannot be shown"),
            f"{sentence(discretion().sentence(error.message))}\n{sentence(error.remedy)}",
        )

    def close(self) -> None:
        """Close open media, in the thread that opened them."""
        self.ahead.stop()
        for lane in ("frame", "window", "header"):
            self._bridge.drop(lane)
        self._bridge.view_and_wait(self._reader.close)

    def show_header(self) -> None:
        """Open the header of the file in view; of a series, that of the slice in view."""
        loaded = self._loaded
        if loaded is not None:
            hidden = discretion().on
            name = discretion().item_name(loaded.ref.item, loaded.ref.item_id)
            self._bridge.view(
                lambda: header_of(loaded),
                lambda elements: HeaderDialog(
                    name, elements, self._panel.window(), identifying=not hidden
                ).open(),
                self._show_error,
                lane="header",
            )

    # Window of a DICOM picture ---------------------------------------------------------------

    def _drag_window(self, dx: float, dy: float) -> None:
        """Right drag: across changes the width, up and down the level."""
        window = self._window
        if window is None:
            return
        from vlmtool_core.media.dicom.voi import moved

        width = window.width * (1 + dx * _WIDTH_STEP)
        self.set_window(moved(window, window.center + dy * _CENTER_STEP * window.width, width))

    def set_window(self, window: Window) -> None:
        """Show the frame through another window, and the frames after it too."""
        self._window = window
        self.window_changed.emit(window)
        self._render(window)

    def reset_window(self) -> None:
        """Back to the window of the file."""
        if self._loaded is not None and self._loaded.window is not None:
            self.set_window(self._loaded.window)

    def _render(self, window: Window) -> None:
        loaded = self._loaded
        if loaded is not None and loaded.values is not None:
            graphics = Overlay.GRAPHICS in self._session.overlays
            self._bridge.view(
                lambda: self._reader.render(loaded, window, graphics=graphics),
                lambda picture: self._show_windowed(loaded, picture),
                lane="window",
            )

    def _show_windowed(self, loaded: Loaded, picture: Picture) -> None:
        if loaded is self._loaded:
            self._canvas.set_picture(picture, keep_view=True)

    # What is drawn over it -------------------------------------------------------------------

    def show_finding(self, finding: Finding | None) -> None:
        """Draw a finding of the review queue over the picture."""
        self._finding = finding
        self._draw()

    def frame_annotations(self) -> list[AnnotationRecord]:
        """What people decided of the frame in view; labels hold for the whole item."""
        if self._detail is None:
            return []
        frame = self.shown_frame
        found = [a for a in self._detail.annotations if a.kind != "measurement"]
        return [a for a in found if a.frame == frame or a.kind == "label"]

    def frame_predictions(self) -> list[PredictionRecord]:
        if self._detail is None:
            return []
        frame = self.shown_frame
        return [p for p in self._detail.predictions if p.frame == frame]

    def _draw(self) -> None:
        if self._loaded is None:
            return
        shown = self._session.overlays
        shapes: list[Shape] = []
        outlines: list[Outline] = []
        caption = ""
        predictions = [
            p
            for p in self.frame_predictions()
            if p.outcome.status is OutcomeStatus.OK and p.decision is not FindingStatus.REJECTED
        ]
        if Overlay.PREDICTIONS in shown:
            shapes += self._prediction_shapes(predictions)
        if Overlay.TEXT in shown:
            outlines += _text_outlines(predictions)
        if Overlay.CAPTION in shown:
            caption = _caption(predictions)
        if Overlay.ANNOTATIONS in shown:
            shapes += [
                Shape(a.id, ShapeKind.ANNOTATION, a.box, self.colour(a.box.label))
                for a in self.frame_annotations()
                if a.box is not None
            ]
        finding = self._finding
        if finding is not None and finding.box is not None and self._finding_is_here(finding):
            shapes.append(Shape(0, ShapeKind.FINDING, finding.box, "#e69f00"))
        self._canvas.set_shapes(shapes, outlines, caption)

    def _finding_is_here(self, finding: Finding) -> bool:
        return finding.item_id == self._session.item and finding.frame == self.shown_frame

    def _prediction_shapes(self, predictions: Sequence[PredictionRecord]) -> list[Shape]:
        # An accepted box is an annotation by then and must not be drawn twice.
        return [
            Shape(p.id, ShapeKind.PREDICTION, box, self.colour(box.label))
            for p in predictions
            if p.decision is FindingStatus.PENDING
            for box in p.outcome.boxes
        ]

    def colour(self, label: str) -> str:
        """The colour of a label: its own, its place's in the set, or one by its name."""
        labels = self._session.labels.labels
        for position, one in enumerate(labels):
            if one.name == label:
                return label_colour(position, one.colour)
        return label_colour(len(labels) + sum(label.encode()))

    def box_label(self) -> str:
        """The label that a new box gets, "" when the user must be asked."""
        labels = [label.name for label in self._session.labels.labels]
        if self._session.active_label in labels:
            return self._session.active_label
        return labels[0] if len(labels) == 1 else ""


def _text_outlines(predictions: Sequence[PredictionRecord]) -> list[Outline]:
    return [
        Outline(tuple((float(x), float(y)) for x, y in line.quad), line.text, TEXT_COLOUR)
        for p in predictions
        for line in p.outcome.lines
    ]


def _caption(predictions: Sequence[PredictionRecord]) -> str:
    return next((p.outcome.text for p in predictions if p.task == "caption" and p.outcome.text), "")


def _facts(record: ItemRecord) -> str:
    """Size, frames and group in a line; the group of DICOM is the patient's number."""
    parts = []
    if record.width and record.height:
        parts.append(f"{record.width} × {record.height}")
    if (record.frame_count or 1) > 1:
        parts.append(f"{record.frame_count} frames")
    if record.duration_s:
        parts.append(f"{record.duration_s:.1f} s")
    if group := discretion().value(record.group):
        parts.append(group)
    return " · ".join(parts)
