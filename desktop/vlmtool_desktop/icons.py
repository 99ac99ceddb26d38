"""Icons drawn from the SVG files of the resources in the colours of the theme."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from vlmtool_desktop.theme import theme
from vlmtool_resources import files

_SIZES = (16, 20, 24, 32, 48, 64, 96)


def _source(name: str, colour: QColor | None) -> QByteArray:
    data = (files() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    if colour is not None:
        data = data.replace("#000", colour.name())
    return QByteArray(data.encode())


def draw(name: str, size: int, colour: QColor | None = None, ratio: float = 1.0) -> QPixmap:
    """The icon as a pixmap of `size` logical pixels."""
    pixmap = QPixmap(QSize(round(size * ratio), round(size * ratio)))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(_source(name, colour)).render(painter, QRectF(pixmap.rect()))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def icon(name: str, token: str = "text") -> QIcon:
    """The icon in the theme's colour `token`, greyed when disabled."""
    result = QIcon()
    colours = theme().colour(token), theme().colour("text-disabled")
    for size in _SIZES:
        result.addPixmap(draw(name, size, colours[0]), QIcon.Mode.Normal)
        result.addPixmap(draw(name, size, colours[1]), QIcon.Mode.Disabled)
    return result


def application_icon() -> QIcon:
    """The program's own icon, in its own colours."""
    result = QIcon()
    for size in (*_SIZES, 256):
        result.addPixmap(draw("app", size))
    return result
