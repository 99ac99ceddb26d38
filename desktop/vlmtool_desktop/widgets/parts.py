"""Small parts that panels and dialogs are made of, so that they look and behave alike."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QKeyCombination, QObject, QSize, Qt
from PySide6.QtGui import QKeySequence, QPainter, QPaintEvent, QShortcut
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vlmtool_desktop import icons
from vlmtool_desktop.theme import theme

Margins = tuple[int, int, int, int]


def text_label(text: str, role: str = "", *, wrap: bool = False) -> QLabel:
    """A label in one of the roles of the style sheet: title, heading, section, muted, danger."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(wrap)
    if role:
        label.setProperty("role", role)
    return label


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget another role of the style sheet."""
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class _KeptIcon(QObject):
    """Draws the icon of a button anew in the colours of another theme.

    What lives shorter than the theme connects methods of a `QObject` to it, never a function:
    Qt undoes such a connection by itself when the object goes.
    """

    def __init__(self, button: QPushButton | QToolButton, name: str, token: str) -> None:
        super().__init__(button)
        self._button, self._name, self._token = button, name, token
        theme().changed.connect(self._draw)
        self._draw()

    def _draw(self) -> None:
        self._button.setIcon(icons.icon(self._name, self._token))


class ElidedLabel(QLabel):
    """A line that ends in … where there is no room for all of it; the tool tip has it whole."""

    def __init__(self, role: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)

    def setText(self, text: str) -> None:
        self._whole = text
        self.setToolTip(text)
        super().setText(text)
        self.updateGeometry()

    def text(self) -> str:
        """All of it."""
        return self._whole

    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance("…mmm"), super().sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        text = self.fontMetrics().elidedText(
            self._whole, Qt.TextElideMode.ElideMiddle, self.contentsRect().width()
        )
        if text == self._whole:
            super().paintEvent(event)
            return
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.contentsRect(), Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()


def push_button(
    text: str, icon_name: str = "", *, primary: bool = False, flat: bool = False, tip: str = ""
) -> QPushButton:
    """A button with a text and, if named, an icon in the theme's colours."""
    button = QPushButton(text)
    button.setProperty("primary", primary)
    button.setProperty("flat", flat)
    button.setToolTip(tip)
    if icon_name:
        _KeptIcon(button, icon_name, "accent-text" if primary else "text")
    return button


def tool_button(text: str, icon_name: str, *, tip: str = "") -> QToolButton:
    """A button that only shows an icon; its text is its accessible name and tool tip."""
    button = QToolButton()
    button.setText(text)
    button.setAccessibleName(text)
    button.setToolTip(tip or text)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    _KeptIcon(button, icon_name, "text")
    return button


def as_panel(widget: QWidget) -> None:
    """Give a plain widget the background of a panel."""
    widget.setObjectName("panel")
    widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)


def frame(role: str, layout: QVBoxLayout | QHBoxLayout, margins: Margins) -> QFrame:
    """A frame in a role of the style sheet around `layout`."""
    widget = QFrame()
    widget.setProperty("role", role)
    layout.setContentsMargins(*margins)
    widget.setLayout(layout)
    return widget


def column(*widgets: QWidget, spacing: int = 6, margins: Margins = (0, 0, 0, 0)) -> QVBoxLayout:
    layout = QVBoxLayout()
    layout.setSpacing(spacing)
    layout.setContentsMargins(*margins)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def row(*widgets: QWidget, spacing: int = 6, margins: Margins = (0, 0, 0, 0)) -> QHBoxLayout:
    layout = QHBoxLayout()
    layout.setSpacing(spacing)
    layout.setContentsMargins(*margins)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def panel_key(
    panel: QWidget,
    key: QKeySequence | QKeyCombination | Qt.Key | str,
    handler: Callable[[], object],
) -> QShortcut:
    """A key that works only while the focus is in `panel`."""
    shortcut = QShortcut(QKeySequence(key), panel)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(handler)
    return shortcut


class EmptyState(QWidget):
    """A heading, a sentence and perhaps a button, where a list has nothing to show."""

    def __init__(
        self, title: str, text: str, icon_name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._icon = icon_name
        self._picture = QLabel()
        self.title = text_label(title, "heading", wrap=True)
        self.text = text_label(text, "muted", wrap=True)
        layout = column(self._picture, self.title, self.text, spacing=8, margins=(20, 20, 20, 20))
        layout.insertStretch(0)
        layout.addStretch()
        for label in (self._picture, self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setLayout(layout)
        self._draw()
        theme().changed.connect(self._draw)

    def add_button(self, button: QPushButton) -> None:
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertLayout(layout.count() - 1, _centred(button))

    def _draw(self) -> None:
        self._picture.setPixmap(icons.draw(self._icon, 40, theme().colour("text-disabled"), 2.0))


def _centred(widget: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout()
    layout.addStretch()
    layout.addWidget(widget)
    layout.addStretch()
    return layout
