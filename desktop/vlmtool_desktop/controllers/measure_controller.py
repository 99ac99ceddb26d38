"""Measurements in the window: drawn, measured off the interface thread, and kept in the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QMenu, QToolButton

from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.canvas.measured_shapes import MeasuredShape, Points
from vlmtool_desktop.canvas.measurement_layer import MeasurementLayer
from vlmtool_desktop.canvas.measuring_tools import EditTool, MeasureTool, ProbeTool, handle_key
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.models import measuring_reader
from vlmtool_desktop.models.measuring_reader import Answer, Readings
from vlmtool_desktop.panels.measurements import MeasuredRow
from vlmtool_desktop.session import Overlay, Tool

if TYPE_CHECKING:
    from vlmtool_core.project import AnnotationRecord
    from vlmtool_core.project.measurements import CheckedMeasurement
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.models.frame_reader import Loaded

# So long a frame must stay before what lies behind it is read: stepping is not slowed down.
REST_MS = 120
_Key = tuple[int, int, MeasurementKind, Points]


class MeasureController(QObject):
    """Owns the layer of measurements and the tools that draw them."""

    readings_changed = Signal(object)

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._canvas = window.viewer.canvas
        self.layer = MeasurementLayer(self._canvas)
        self._loaded: Loaded | None = None
        self.readings: Readings | None = None
        self._checked: dict[_Key, CheckedMeasurement | Measured] = {}
        self._asked: set[_Key] = set()
        self._unsaved: list[tuple[int, MeasuredShape]] = []
        # Where shapes were moved to: shown from then on, though the project has it later.
        self._moved: dict[int, Points] = {}
        self._written: list[tuple[int, Points]] = []
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._read)
        self._bring_tools()
        self._connect()

    def _bring_tools(self) -> None:
        tools = self._window.viewer.tools
        tools[Tool.SELECT] = lambda: EditTool(self.layer)
        tools[Tool.PROBE] = lambda: ProbeTool(self.layer)
        for kind in MeasurementKind:
            tools[Tool(kind.value)] = partial(MeasureTool, kind, self.layer)
        self._canvas.set_tool(tools[self._session.tool]())
        self._canvas.key_handlers.append(lambda event: handle_key(self.layer, event))

    def _connect(self) -> None:
        window, layer, panel = self._window, self.layer, self._window.measurements
        window.viewing.frame_shown.connect(self._frame_shown)
        window.viewing.detail_changed.connect(lambda _detail: self._detail_changed())
        self._session.item_changed.connect(self._item_changed)
        self._session.overlays_changed.connect(self._update)
        discretion().changed.connect(self._update)
        layer.drawn.connect(self._drawn)
        layer.changed.connect(self._changed)
        layer.drafted.connect(self._drafted)
        layer.chosen_changed.connect(self._chosen)
        self._canvas.selection_changed.connect(self._box_chosen)
        panel.chosen.connect(self._go_to)
        panel.deleted.connect(window.project.delete_annotations)

    def fill_toolbar(self) -> None:
        """One button for all tools: it has the one used last, the others in its menu."""
        button = QToolButton()
        menu = QMenu(button)
        actions = self._window.actions_.by_id
        for tool in (*MeasurementKind, Tool.PROBE):
            menu.addAction(actions[f"measure-{tool.value}"])
        menu.triggered.connect(button.setDefaultAction)
        button.setMenu(menu)
        button.setDefaultAction(actions[f"measure-{MeasurementKind.DISTANCE.value}"])
        button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        button.setAccessibleName(self.tr("Measure"))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._window.toolbar.insertWidget(actions["fit"], button)

    # The frame in view -----------------------------------------------------------------------

    def _item_changed(self) -> None:
        self._loaded = self.readings = None
        self._checked.clear()
        self._asked.clear()
        self._unsaved.clear()
        self._moved.clear()
        self._rest.stop()
        self._window.bridge.drop("readings")
        self.layer.choose(None)
        self._show_readings()
        self._update()

    def _frame_shown(self, loaded: Loaded) -> None:
        self._loaded, self.readings = loaded, None
        self._rest.start()
        self._update()

    def _read(self) -> None:
        loaded, reader = self._loaded, self._window.viewing.reader
        if loaded is not None:
            self._window.bridge.view(
                lambda: measuring_reader.read(reader, loaded),
                self._take_readings,
                self._say_error,
                lane="readings",
            )

    def _take_readings(self, readings: Readings) -> None:
        if readings.loaded is self._loaded:
            self.readings = readings
            self._show_readings()

    def _show_readings(self) -> None:
        on = self.readings.on if self.readings else None
        self._window.measurements.set_scale(on)
        self.readings_changed.emit(self.readings)

    def _say_error(self, error: ErrorInfo) -> None:
        self._window.status.say(sentence(error.message))

    # Drawing and moving ----------------------------------------------------------------------

    def _measure(
        self,
        kind: MeasurementKind,
        points: Points,
        done: Callable[[Answer], None],
        failed: Callable[[ErrorInfo], None],
        *,
        lane: str | None = None,
    ) -> None:
        """Lines and angles at once, the values of a region in the viewer's thread."""
        loaded, reader = self._loaded, self._window.viewing.reader
        on = self.readings.on if self.readings else None
        if on is not None and not kind.is_region:
            done(measuring_reader.answer(on, kind, points))
        elif loaded is not None:
            self._window.bridge.view(
                lambda: measuring_reader.measure_on(reader, loaded, on, kind, points),
                done,
                failed,
                lane=lane,
            )

    def _drafted(self, kind: MeasurementKind, points: Points) -> None:
        """Tell what the shape that is being drawn comes to so far."""
        least, _ = kind.points_needed
        if len(points) >= least:
            self._measure(kind, points, self._show_draft, self._say_error, lane="measuring")

    def _show_draft(self, answer: Answer) -> None:
        self._keep_values(answer)
        if answer.result is not None:
            self.layer.set_live_lines(_lines(answer.result))

    def _keep_values(self, answer: Answer) -> None:
        """Values that a region needed are there for the next one, unless they are only a part."""
        known, values = self.readings, answer.on.values
        if known is None or values is None or known.on.values is not None:
            return
        if (values.shape[1], values.shape[0]) == answer.on.size:
            self.readings = replace(known, on=answer.on)

    def _drawn(self, kind: MeasurementKind, points: Points) -> None:
        item, frame = self._session.item, self._window.viewing.shown_frame
        if item is None or self._loaded is None:
            return
        entry = (frame, MeasuredShape(None, kind, points))
        self._unsaved.append(entry)
        self._update()

        def measured(answer: Answer) -> None:
            self._keep_values(answer)
            result = answer.result
            if result is None:
                self._drop_unsaved(entry)
                self._window.status.say(sentence(answer.refusal))
                return
            self._remember(item, frame, kind, points, result)
            shape = Measurement(kind, points, result)
            self._window.project.write(
                lambda p: p.add_measurement(item, frame, shape), kept, item_ids=(), failed=refused
            )

        def unmeasured(error: ErrorInfo) -> None:
            self._say_error(error)
            refused()

        def refused() -> None:
            self._drop_unsaved(entry)
            told = replace(entry[1], warning=self.tr("not kept: only in this picture"))
            self._unsaved.append((frame, told))
            self._update()

        def kept(annotation_id: int) -> None:
            self._drop_unsaved(entry)
            if self._session.item == item:
                self.layer.choose(annotation_id)

        self._measure(kind, points, measured, unmeasured)

    def _drop_unsaved(self, entry: tuple[int, MeasuredShape]) -> None:
        if entry in self._unsaved:
            self._unsaved.remove(entry)
            self._update()

    def _changed(self, annotation_id: int, points: Points) -> None:
        record = next((a for a in self._records() if a.id == annotation_id), None)
        if record is None or record.measurement is None:
            return
        kind, item, frame = record.measurement.kind, record.item_id, record.frame
        self._moved[annotation_id] = points

        def measured(answer: Answer) -> None:
            self._keep_values(answer)
            if answer.result is None:
                self._window.status.say(sentence(answer.refusal))
                back()
                return
            self._remember(item, frame, kind, points, answer.result)
            shape = Measurement(kind, points, answer.result)
            self._window.project.write(
                lambda p: p.update_annotation(annotation_id, measurement=shape),
                lambda _none: self._written.append((annotation_id, points)),
                item_ids=(),
                failed=back,
            )

        def back(error: ErrorInfo | None = None) -> None:
            self._moved.pop(annotation_id, None)
            self._update()
            if error is not None:
                self._say_error(error)

        self._measure(kind, points, measured, back)

    def _remember(
        self, item: int, frame: int, kind: MeasurementKind, points: Points, result: Measured
    ) -> None:
        """It was measured just now: it need not be measured again to be believed."""
        self._checked[(item, frame, kind, points)] = result

    # What is kept ----------------------------------------------------------------------------

    def _records(self) -> list[AnnotationRecord]:
        detail = self._window.viewing.detail
        if detail is None:
            return []
        return [a for a in detail.annotations if a.measurement is not None]

    def _detail_changed(self) -> None:
        for annotation_id, points in self._written:
            if self._moved.get(annotation_id) == points:
                del self._moved[annotation_id]
        self._written.clear()
        self._check()
        self._update()

    def _check(self) -> None:
        """Measure again, on the file as it is, what was not yet since the item was opened."""
        from vlmtool_core.records import ItemRef

        detail = self._window.viewing.detail
        wanted = [a for a in self._records() if _key(a) not in self._asked | self._checked.keys()]
        if detail is None or not wanted or detail.record.kind is None:
            return
        self._asked |= {_key(a) for a in wanted}
        one, kind = detail.record, detail.record.kind
        ref = ItemRef(one.name, one.path, kind, one.sha256, one.files, one.id)

        def work() -> list[CheckedMeasurement]:
            from vlmtool_core.project.measurements import check

            return list(check(ref, wanted))

        self._window.bridge.thumbnail(work, lambda found: self._take_checked(one.id, found))

    def _take_checked(self, item: int, found: list[CheckedMeasurement]) -> None:
        if item == self._session.item:
            self._checked |= {_key(checked.annotation): checked for checked in found}
            self._update()

    def _rows(self) -> list[MeasuredRow]:
        return [self._row(record) for record in self._records()]

    def _row(self, record: AnnotationRecord) -> MeasuredRow:
        assert record.measurement is not None
        known = self._checked.get(_key(record))
        warning = ""
        if isinstance(known, Measured):
            result = known
        elif known is None:
            result = record.measurement.result
            warning = self.tr("as stored, being measured again…")
        elif known.now is None:
            result = record.measurement.result
            why = known.error.message if known.error else ""
            warning = self.tr("as stored, not measured again: {why}").format(why=why)
        else:
            result = known.now
            if known.changes:
                warning = self.tr("changed: {what}").format(what="; ".join(known.changes))
        kind = record.measurement.kind
        return MeasuredRow(record.id, record.frame, kind, result, warning, record.author)

    def _update(self) -> None:
        """Draw the shapes of the frame in view, and list those of the item."""
        rows, detail = self._rows(), self._window.viewing.detail
        points = {a.id: a.measurement.points for a in self._records() if a.measurement}
        frame = self._window.viewing.shown_frame
        self.layer.visible = Overlay.ANNOTATIONS in self._session.overlays
        moved = {s.id: s for s in self.layer.shapes if s.id is not None and s.id in self._moved}
        stored = [
            MeasuredShape(one.id, one.kind, points[one.id], tuple(_lines(one.result)), one.warning)
            for one in rows
            if one.frame == frame
        ]
        unsaved = [shape for at, shape in self._unsaved if at == frame]
        self.layer.set_shapes([*(moved.get(shape.id or 0, shape) for shape in stored), *unsaved])
        record = detail.record if detail is not None else None
        name = "" if record is None else discretion().item_name(record.name, record.id)
        self._window.measurements.set_rows(rows, name)
        if self.layer.chosen is not None:
            self._window.measurements.select(self.layer.chosen_id)

    # Choosing and deleting -------------------------------------------------------------------

    def _chosen(self) -> None:
        self._window.measurements.select(self.layer.chosen_id)

    def _box_chosen(self) -> None:
        if self._canvas.selected_shape() is not None:
            self.layer.choose(None)

    def _go_to(self, annotation_id: int, frame: int) -> None:
        self._session.set_frame(frame)
        self._canvas.select(None)
        self.layer.choose(annotation_id)

    def delete(self) -> None:
        """The chosen measurement or those of the list, else what boxes and texts are chosen."""
        window, chosen = self._window, self.layer.chosen
        if window.measurements.tree.hasFocus():
            window.measurements.delete_selected()
        elif chosen is not None and not window.labels.annotations.hasFocus():
            window.project.delete_annotations([chosen.id] if chosen.id is not None else [])
        else:
            window.commands.delete_selected()


def _key(record: AnnotationRecord) -> _Key:
    shape = record.measurement
    assert shape is not None
    return record.item_id, record.frame, shape.kind, shape.points


def _lines(result: Measured) -> list[str]:
    from vlmtool_core.media.measured_text import label_lines

    return label_lines(result)
