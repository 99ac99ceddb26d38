"""Live curves of a training, drawn by pyqtgraph in the colours of the theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyqtgraph
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vlmtool_desktop.theme import label_colours, theme


class CurvePlot(QWidget):
    """Training loss over steps, and the validation accuracy of the search."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loss: list[tuple[float, float]] = []
        self._accuracy: list[tuple[float, float]] = []
        self.plot = pyqtgraph.PlotWidget()
        self.plot.setAccessibleName(self.tr("Curves of the training"))
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setMinimumHeight(160)
        item = self.plot.getPlotItem()
        self._legend = item.addLegend(offset=(-10, 10))
        colours = label_colours()
        pen = pyqtgraph.mkPen(colours[0], width=2)
        self._loss_line = item.plot(name=self.tr("loss"), pen=pen)
        self._accuracy_line = item.plot(
            name=self.tr("accuracy in the search"),
            pen=pyqtgraph.mkPen(colours[1], width=2),
            symbol="o",
            symbolSize=6,
            symbolBrush=colours[1],
            symbolPen=None,
        )
        item.setLabel("bottom", self.tr("step"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        theme().changed.connect(self._recolour)
        self._recolour()

    @property
    def empty(self) -> bool:
        return not self._loss and not self._accuracy

    @property
    def points(self) -> int:
        """How many points are drawn."""
        return len(self._loss)

    def clear(self) -> None:
        self._loss.clear()
        self._accuracy.clear()
        self._draw()

    def add(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Append points with `step`, `train_loss` and perhaps `validation`."""
        for point in points:
            if point.get("train_loss") is not None:
                self._loss.append((point["step"], point["train_loss"]))
            if point.get("validation") is not None:
                self._accuracy.append((point["step"], point["validation"]))
        if points:
            self._draw()

    def _draw(self) -> None:
        for line, points in (
            (self._loss_line, self._loss),
            (self._accuracy_line, self._accuracy),
        ):
            line.setData([x for x, _ in points], [y for _, y in points])

    def _recolour(self) -> None:
        colours = theme()
        self.plot.setBackground(colours.colour("panel"))
        text = colours.colour("text-muted")
        for side in ("left", "bottom"):
            axis = self.plot.getPlotItem().getAxis(side)
            axis.setPen(colours.colour("border-strong"))
            axis.setTextPen(text)
        self._legend.setLabelTextColor(text)
        for _sample, label in self._legend.items:
            label.setText(label.text, color=text.name())
