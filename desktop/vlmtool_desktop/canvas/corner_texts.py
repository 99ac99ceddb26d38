"""What a radiology viewer writes into the corners: patient, study, series and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen

from vlmtool_desktop.canvas.transform import ViewTransform

_MARGIN = 10.0
_WIDEST = 0.45  # of the view, so that left and right never meet
_TEXT = QColor("#ffffff")
_SHADE = QColor(0, 0, 0, 220)
_RIM = 3.5  # pixels, half of them outside the letters

LEFT, RIGHT = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight


@dataclass(frozen=True, slots=True)
class Corners:
    """Lines of text per corner of the view, uppermost first."""

    top_left: tuple[str, ...] = ()
    top_right: tuple[str, ...] = ()
    bottom_right: tuple[str, ...] = ()


def corners_of(
    identifying: Mapping[str, str], frame: int, frame_count: int, *, hidden: bool
) -> Corners:
    """From a DICOM header's values by keyword; `hidden` leaves out what identifies somebody."""
    place = (f"{frame + 1} / {frame_count}",) if frame_count > 1 else ()
    if hidden:
        return Corners(bottom_right=place)

    def told(*keywords: str) -> tuple[str, ...]:
        return tuple(value for keyword in keywords if (value := identifying.get(keyword, "")))

    return Corners(
        told("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        told("InstitutionName", "StudyDescription", "StudyDate", "AccessionNumber"),
        (*told("SeriesDescription"), *place),
    )


class CornerTexts:
    """A layer of the canvas; white with a dark rim, to be read on black and on white."""

    def __init__(self) -> None:
        self.corners = Corners()

    def draw(self, painter: QPainter, transform: ViewTransform) -> None:
        """See `CanvasLayer`; the texts stay in the corners of the view."""
        view = QRectF(painter.viewport())
        line = QFontMetricsF(painter.font()).lineSpacing()
        lower = view.height() - _MARGIN - line * len(self.corners.bottom_right)
        for lines, side, top in (
            (self.corners.top_left, LEFT, _MARGIN),
            (self.corners.top_right, RIGHT, _MARGIN),
            (self.corners.bottom_right, RIGHT, lower),
        ):
            _write(painter, lines, side, top, view.width())


def _write(
    painter: QPainter, lines: Sequence[str], side: Qt.AlignmentFlag, top: float, width: float
) -> None:
    metrics = QFontMetricsF(painter.font())
    baseline = top + metrics.ascent()
    for line in lines:
        text = metrics.elidedText(line, Qt.TextElideMode.ElideRight, width * _WIDEST)
        left = _MARGIN
        if side == RIGHT:
            left = width - _MARGIN - metrics.horizontalAdvance(text)
        path = QPainterPath()
        path.addText(left, baseline, painter.font(), text)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(_SHADE, _RIM, j=Qt.PenJoinStyle.RoundJoin))
        painter.drawPath(path)
        painter.fillPath(path, _TEXT)
        baseline += metrics.lineSpacing()
