"""What is under the pointer: in the status bar always, beside the pointer with the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from vlmtool_desktop.models.measuring_reader import Readings
from vlmtool_desktop.session import Tool

if TYPE_CHECKING:
    from vlmtool_core.media.measurements import Probe
    from vlmtool_desktop.controllers.measure_controller import MeasureController
    from vlmtool_desktop.main_window import MainWindow

Point = tuple[float, float]
# Patient axes of the LPS system: where a coordinate grows to, and where it falls to.
_AXES = (("L", "R"), ("P", "A"), ("H", "F"))


class ProbeController(QObject):
    """Follows the pointer over the picture."""

    def __init__(self, window: MainWindow, measuring: MeasureController) -> None:
        super().__init__(window)
        self._window = window
        self._measuring = measuring
        self._at: Point | None = None
        self._told = ""
        window.viewer.canvas.pointer_moved.connect(self._moved)
        measuring.readings_changed.connect(self._readings_changed)
        window.viewing.frame_shown.connect(lambda _loaded: self._show())
        window.session.tool_changed.connect(self._show)

    def _moved(self, at: Point | None) -> None:
        self._at = at
        self._show()

    def _readings_changed(self, readings: Readings | None) -> None:
        """Tell once for an item why it has no SUV."""
        reason = readings.on.no_suv if readings else ""
        place = f"{self._window.session.item} {reason}"
        if reason and place != self._told:
            self._told = place
            self._window.status.say(reason[:1].upper() + reason[1:])
        self._show()

    def _show(self) -> None:
        lines = self._lines()
        self._window.status.pixel.setText("  ".join(lines))
        layer = self._measuring.layer
        beside = self._at is not None and self._window.session.tool is Tool.PROBE and lines
        pointer = (self._at, tuple(lines)) if beside and self._at is not None else None
        if pointer != layer.beside_pointer:
            layer.beside_pointer = pointer
            self._window.viewer.canvas.update()

    def _lines(self) -> list[str]:
        loaded, at = self._window.viewing.loaded, self._at
        if loaded is None or at is None:
            return []
        x, y = int(at[0] // 1), int(at[1] // 1)
        width, height = loaded.picture.size
        if not (0 <= x < width and 0 <= y < height):
            return []
        lines = [f"x {x}  y {y}"]
        readings = self._measuring.readings
        if readings is not None and loaded.values is not None:
            lines += _values(_probe(readings, at))
        elif loaded.values is not None:
            # What lies behind the picture is still being read.
            value, unit = loaded.values[y, x], loaded.info.unit
            padding = str(value) == "--"
            lines += ["padding"] if padding else [_value(float(value), unit)]
        lines += self._displayed(x, y)
        if readings is not None and (position := _probe(readings, at).position) is not None:
            lines.append(position_text(position))
        return lines

    def _displayed(self, x: int, y: int) -> list[str]:
        """The grey value or the colour on the screen, 0 to 255."""
        picture = self._window.viewer.canvas.picture
        if picture is None:
            return []
        image = picture.levels[0]
        colour = image.pixelColor(
            x * image.width() // picture.size[0], y * image.height() // picture.size[1]
        )
        parts = colour.red(), colour.green(), colour.blue()
        shown = str(parts[0]) if len(set(parts)) == 1 else " ".join(map(str, parts))
        return [self.tr("shown {value}").format(value=shown)]


def _probe(readings: Readings, at: Point) -> Probe:
    from vlmtool_core.media.measurements import probe

    return probe(readings.on, at, readings.stored)


def _values(seen: Probe) -> list[str]:
    lines = []
    if seen.padding:
        lines.append("padding")
    elif seen.value is not None:
        lines.append(_value(seen.value, seen.unit))
    if seen.suv is not None:
        lines.append(f"SUV {seen.suv:.3g}")
    if seen.stored is not None:
        lines.append(f"stored {seen.stored:g}")
    return lines


def _value(value: float, unit: str) -> str:
    return f"{value:g} {unit}" if unit else f"value {value:g}"


def position_text(position: tuple[float, float, float]) -> str:
    """`L 12.3 P 4.5 H 60.0 mm`: each coordinate with the side of the patient it lies on."""
    parts = (
        f"{axis[value < 0]} {abs(value):.1f}" for axis, value in zip(_AXES, position, strict=True)
    )
    return f"{' '.join(parts)} mm"
