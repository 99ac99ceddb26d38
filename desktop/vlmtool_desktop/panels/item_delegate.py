"""Draws one item of the library: thumbnail, name, labels, kind and trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPixmap
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.records import MediaKind
from vlmtool_desktop import icons
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.models.item_model import ItemRole, ThumbnailRole
from vlmtool_desktop.session import Session
from vlmtool_desktop.theme import label_colour, theme

if TYPE_CHECKING:
    from vlmtool_core.project import ItemRecord

CELL = QSize(140, 172)
_PICTURE = 116
_KIND_ICONS = {MediaKind.DICOM: "dicom", MediaKind.VIDEO: "video", MediaKind.VOLUME: "volume"}


class ItemDelegate(QStyledItemDelegate):
    """A card of `CELL` size; icons are drawn once per theme."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._icons: dict[tuple[str, str, float], QPixmap] = {}
        theme().changed.connect(self._forget_icons)

    def _forget_icons(self) -> None:
        self._icons.clear()

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        return CELL

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        card = option.rect.adjusted(3, 3, -3, -3)
        self._paint_card(painter, option, card)
        record = index.data(ItemRole)
        picture = QRect(0, 0, _PICTURE, _PICTURE)
        picture.moveCenter(QPoint(card.center().x(), card.top() + 7 + _PICTURE // 2))
        self._paint_picture(painter, picture, record, index.data(ThumbnailRole))
        if record is not None:
            self._paint_badge(painter, picture, record)
            self._paint_texts(painter, option, card, picture.bottom() + 5, record)
        painter.restore()

    def _paint_card(self, painter: QPainter, option: QStyleOptionViewItem, card: QRect) -> None:
        colours = theme()
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
        painter.setPen(Qt.PenStyle.NoPen)
        if selected:
            painter.setPen(colours.colour("accent"))
            painter.setBrush(colours.colour("accent-soft"))
        elif hovered:
            painter.setBrush(colours.colour("hover"))
        else:
            painter.setBrush(Qt.BrushStyle.NoBrush)
        if focused:
            pen = painter.pen()
            pen.setColor(colours.colour("accent"))
            pen.setStyle(Qt.PenStyle.SolidLine)
            pen.setWidth(2)
            painter.setPen(pen)
        painter.drawRoundedRect(QRectF(card).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)

    def _paint_picture(
        self, painter: QPainter, room: QRect, record: ItemRecord | None, pixmap: QPixmap | None
    ) -> None:
        if pixmap is not None:
            size = pixmap.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(QPoint(0, 0), size)
            target.moveCenter(room.center())
            painter.drawPixmap(target, pixmap)
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().colour("hover"))
        painter.drawRoundedRect(room, 4, 4)
        if record is not None:
            broken = record.error is not None
            name = "warning" if broken else "image"
            self._paint_icon(painter, name, "danger" if broken else "text-disabled", room, 28)

    def _paint_icon(self, painter: QPainter, name: str, token: str, room: QRect, size: int) -> None:
        device = painter.device()
        ratio = device.devicePixelRatio() if device is not None else 1.0
        key = (f"{name}-{size}", token, ratio)
        if key not in self._icons:
            self._icons[key] = icons.draw(name, size, theme().colour(token), ratio)
        corner = room.center() - QPoint(size // 2, size // 2)
        painter.drawPixmap(corner, self._icons[key])

    def _paint_badge(self, painter: QPainter, picture: QRect, record: ItemRecord) -> None:
        """Kind and number of frames, for what is more than one still picture."""
        if record.kind not in _KIND_ICONS:
            return
        if record.kind is MediaKind.VIDEO and record.duration_s:
            text = f"{int(record.duration_s) // 60}:{int(record.duration_s) % 60:02d}"
        elif (record.frame_count or 1) > 1:
            text = str(record.frame_count)
        else:
            text = record.kind.value.upper()
        font = _small(painter.font())
        painter.setFont(font)
        width = QFontMetrics(font).horizontalAdvance(text) + 10
        badge = QRect(picture.right() - width - 2, picture.bottom() - 18, width, 16)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 175))
        painter.drawRoundedRect(badge, 3, 3)
        painter.setPen(QColor("#ffffff"))
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_texts(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        card: QRect,
        top: int,
        record: ItemRecord,
    ) -> None:
        colours = theme()
        font = QFont(option.font)
        font.setPointSizeF(option.font.pointSizeF() * 0.92)
        painter.setFont(font)
        metrics = QFontMetrics(font)
        name_room = QRect(card.left() + 6, top, card.width() - 12, metrics.height())
        name = metrics.elidedText(
            discretion().item_name(record.name.rsplit("/", 1)[-1], record.id),
            Qt.TextElideMode.ElideMiddle,
            name_room.width(),
        )
        painter.setPen(colours.colour("text"))
        painter.drawText(name_room, Qt.AlignmentFlag.AlignCenter, name)
        room = name_room.translated(0, metrics.height() + 1)
        if record.error is not None:
            painter.setPen(colours.colour("danger"))
            unsupported = record.error.code == UnsupportedMediaError.code
            text = self.tr("cannot be shown") if unsupported else self.tr("cannot be read")
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)
        elif record.labels:
            self._paint_label(painter, room, metrics, record.labels)
        elif record.top is not None:
            painter.setPen(colours.colour("text-muted"))
            text = f"{record.top.label} {record.top.score:.0%}"
            text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_label(
        self, painter: QPainter, room: QRect, metrics: QFontMetrics, labels: tuple[str, ...]
    ) -> None:
        """A person's labels: a coloured dot and the name."""
        text = metrics.elidedText(", ".join(labels), Qt.TextElideMode.ElideRight, room.width() - 14)
        width = metrics.horizontalAdvance(text) + 14
        left = room.center().x() - width // 2
        names = [label.name for label in self._session.labels.labels]
        position = names.index(labels[0]) if labels[0] in names else len(names)
        own = self._session.labels.labels[position].colour if position < len(names) else ""
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(label_colour(position, own)))
        painter.drawEllipse(QRectF(left, room.center().y() - 3.5, 9, 9))
        painter.setPen(theme().colour("text"))
        place = QRect(left + 14, room.top(), width, room.height())
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)


def _small(font: QFont) -> QFont:
    small = QFont(font)
    small.setPointSizeF(font.pointSizeF() * 0.8)
    return small
