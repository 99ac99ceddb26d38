"""One editor per kind of workflow parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from vlmtool_core.hooks.values import convert_value
from vlmtool_core.hooks.workflow import Parameter, ParameterKind
from vlmtool_desktop.widgets.parts import column, row, text_label, tool_button

_FAR = 2**31 - 1
_TYPED = (ParameterKind.SWITCH, ParameterKind.INTEGER, ParameterKind.NUMBER)


@dataclass(frozen=True)
class ParameterField:
    """A widget with its help below, and what it says now."""

    widget: QWidget
    value: Callable[[], Any]
    set_value: Callable[[Any], None]


def make_field(parameter: Parameter) -> ParameterField:
    """The editor for a parameter, filled with its default."""
    editor, value, set_value = _EDITORS[parameter.kind](parameter)
    editor.setAccessibleName(parameter.label)
    editor.setToolTip(parameter.help)
    if parameter.default is not None:
        # A default may be written as a user would type it ("no", "0.5").
        typed = parameter.kind in _TYPED
        default = parameter.default
        set_value(convert_value(parameter, default) if typed else default)
    layout = column(spacing=2)
    layout.addWidget(editor)
    if parameter.help:
        layout.addWidget(text_label(_help(parameter), "muted", wrap=True))
    holder = QWidget()
    holder.setLayout(layout)
    holder.setFocusProxy(editor)
    return ParameterField(holder, value, set_value)


def _help(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    if low is None and high is None:
        return parameter.help
    unit = f" {parameter.unit}" if parameter.unit else ""
    if low is not None and high is not None:
        return f"{parameter.help} ({low:g} – {high:g}{unit})"
    limit = f"≥ {low:g}" if low is not None else f"≤ {high:g}"
    return f"{parameter.help} ({limit}{unit})"


_Made = tuple[QWidget, Callable[[], Any], Callable[[Any], None]]


def _text(_parameter: Parameter) -> _Made:
    line = QLineEdit()
    return line, lambda: line.text().strip(), lambda value: line.setText(str(value))


def _labels(_parameter: Parameter) -> _Made:
    line = QLineEdit()
    line.setPlaceholderText(_tr("labels, divided by commas"))

    def set_value(value: Any) -> None:
        names = value if isinstance(value, str) else ", ".join(_label_name(v) for v in value)
        line.setText(names)

    return line, lambda: line.text().strip(), set_value


def _label_name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _integer(parameter: Parameter) -> _Made:
    number = QSpinBox()
    low = -_FAR if parameter.minimum is None else int(parameter.minimum)
    high = _FAR if parameter.maximum is None else int(parameter.maximum)
    if parameter.default is None and not parameter.required and low > -_FAR:
        # One below the range stands for "not set".
        number.setSpecialValueText(_tr("automatic"))
        low -= 1
    number.setRange(low, high)
    number.setValue(low)
    number.setSuffix(f" {parameter.unit}" if parameter.unit else "")
    optional = bool(number.specialValueText())
    return (
        number,
        lambda: None if optional and number.value() == number.minimum() else number.value(),
        lambda value: number.setValue(int(value)),
    )


def _number(parameter: Parameter) -> _Made:
    number = QDoubleSpinBox()
    span = None
    if parameter.minimum is not None and parameter.maximum is not None:
        span = parameter.maximum - parameter.minimum
    number.setDecimals(3 if span is not None and span <= 2 else 2)
    number.setSingleStep(0.05 if span is not None and span <= 2 else 1.0)
    low = -1e12 if parameter.minimum is None else parameter.minimum
    if parameter.default is None and not parameter.required:
        number.setSpecialValueText(_tr("automatic"))
        low -= number.singleStep()
    number.setRange(low, 1e12 if parameter.maximum is None else parameter.maximum)
    number.setValue(low)
    number.setSuffix(f" {parameter.unit}" if parameter.unit else "")
    optional = bool(number.specialValueText())
    return (
        number,
        lambda: None if optional and number.value() <= number.minimum() else number.value(),
        lambda value: number.setValue(float(value)),
    )


def _switch(_parameter: Parameter) -> _Made:
    box = QCheckBox()
    return box, box.isChecked, lambda value: box.setChecked(bool(value))


def _choice(parameter: Parameter) -> _Made:
    combo = QComboBox()
    if parameter.default is None and not parameter.required:
        combo.addItem(_tr("automatic"), None)
    for name in parameter.choices:
        combo.addItem(name, name)
    return combo, combo.currentData, lambda value: combo.setCurrentIndex(combo.findData(value))


def _path(choose: Callable[[QWidget, str], str]) -> Callable[[Parameter], _Made]:
    def make(parameter: Parameter) -> _Made:
        line = QLineEdit()
        button = tool_button(_tr("Choose {name}").format(name=parameter.label), "open")

        def browse() -> None:
            chosen = choose(line, parameter.label)
            if chosen:
                line.setText(chosen)

        button.clicked.connect(browse)
        layout = row(line, button, spacing=4)
        layout.setStretch(0, 1)
        holder = QWidget()
        holder.setLayout(layout)
        holder.setFocusProxy(line)
        line.setAccessibleName(parameter.label)
        return holder, lambda: line.text().strip(), lambda value: line.setText(str(value))

    return make


def _tr(text: str) -> str:
    return QCoreApplication.translate("parameters", text)


_EDITORS: dict[ParameterKind, Callable[[Parameter], _Made]] = {
    ParameterKind.TEXT: _text,
    ParameterKind.LABELS: _labels,
    ParameterKind.INTEGER: _integer,
    ParameterKind.NUMBER: _number,
    ParameterKind.SWITCH: _switch,
    ParameterKind.CHOICE: _choice,
    ParameterKind.INPUT_FILE: _path(lambda w, t: QFileDialog.getOpenFileName(w, t)[0]),
    ParameterKind.OUTPUT_FILE: _path(lambda w, t: QFileDialog.getSaveFileName(w, t)[0]),
    ParameterKind.OUTPUT_FOLDER: _path(lambda w, t: QFileDialog.getExistingDirectory(w, t)),
}
