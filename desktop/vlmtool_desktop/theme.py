"""Light and dark colours: a palette and one style sheet made from the tokens of a theme file."""

from __future__ import annotations

import re
import tomllib
from functools import cache

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from vlmtool_resources import files

MODES = ("auto", "light", "dark")


@cache
def tokens(name: str) -> dict[str, str]:
    """The colours of the theme `name` ("light" or "dark") by token, as "#rrggbb"."""
    text = (files() / "themes" / f"{name}.toml").read_text(encoding="utf-8")
    return {key: str(value) for key, value in tomllib.loads(text).items()}


@cache
def label_colours() -> tuple[str, ...]:
    """Colours that are told apart with any colour vision, given to labels in turn."""
    text = (files() / "themes" / "labels.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["colours"])


def label_colour(index: int, colour: str = "") -> str:
    """The label's own colour, or the palette's by position."""
    return colour or label_colours()[index % len(label_colours())]


def text_on(background: str) -> str:
    """Black or white, whichever reads better on `background` (WCAG relative luminance)."""
    colour = QColor(background)

    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(v) for v in (colour.redF(), colour.greenF(), colour.blueF()))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if luminance > 0.179 else "#ffffff"


def style_sheet(name: str) -> str:
    """The style sheet with every `@token` replaced by its colour."""
    values = tokens(name)
    source = (files() / "themes" / "base.qss").read_text(encoding="utf-8")
    # Pictures in a style sheet are named by path; Qt wants forward slashes on every system.
    folder = str(files() / "themes").replace("\\", "/")
    source = source.replace("@folder", folder).replace("@theme", name)
    return re.sub(r"@([a-z]+(?:-[a-z]+)*)", lambda match: values[match.group(1)], source)


def palette(name: str) -> QPalette:
    """The palette behind the style sheet, for what Qt draws itself."""
    values = tokens(name)
    roles = {
        QPalette.ColorRole.Window: "window",
        QPalette.ColorRole.WindowText: "text",
        QPalette.ColorRole.Base: "panel",
        QPalette.ColorRole.AlternateBase: "window",
        QPalette.ColorRole.Text: "text",
        QPalette.ColorRole.Button: "raised",
        QPalette.ColorRole.ButtonText: "text",
        QPalette.ColorRole.ToolTipBase: "raised",
        QPalette.ColorRole.ToolTipText: "text",
        QPalette.ColorRole.PlaceholderText: "text-muted",
        QPalette.ColorRole.Highlight: "accent",
        QPalette.ColorRole.HighlightedText: "accent-text",
        QPalette.ColorRole.Link: "accent",
        QPalette.ColorRole.Mid: "border",
    }
    result = QPalette()
    for role, token in roles.items():
        result.setColor(role, QColor(values[token]))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, role, QColor(values["text-disabled"]))
    return result


class Theme(QObject):
    """Applies a theme to the application and follows the system while the mode is "auto"."""

    changed = Signal()

    def __init__(self, application: QApplication, mode: str = "auto") -> None:
        super().__init__(application)
        self._application = application
        self._mode = mode
        self._name = ""
        QGuiApplication.styleHints().colorSchemeChanged.connect(lambda _scheme: self._apply())
        self._apply()

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def name(self) -> str:
        """ "light" or "dark": what is on the screen now."""
        return self._name

    def set_mode(self, mode: str) -> None:
        self._mode = mode
        self._apply()

    def colour(self, token: str) -> QColor:
        return QColor(tokens(self._name)[token])

    def _wanted(self) -> str:
        if self._mode != "auto":
            return self._mode
        scheme = QGuiApplication.styleHints().colorScheme()
        return "dark" if scheme == Qt.ColorScheme.Dark else "light"

    def _apply(self) -> None:
        name = self._wanted()
        if name == self._name:
            return
        self._name = name
        self._application.setPalette(palette(name))
        self._application.setStyleSheet(style_sheet(name))
        self.changed.emit()


def use_readable_font(application: QApplication) -> None:
    """At least 9.5 pt, in the system's own face, with CJK faces behind it."""
    font = QFont(application.font())
    font.setFamilies(
        [font.family(), "Segoe UI", "Noto Sans", "DejaVu Sans", "Noto Sans CJK SC", "PingFang SC"]
    )
    font.setPointSizeF(max(9.5, font.pointSizeF()))
    application.setFont(font)


_current: list[Theme] = []


def install_theme(application: QApplication, mode: str = "auto") -> Theme:
    """Give the application its style, font and theme; later calls only change the mode."""
    if not _current:
        application.setStyle("Fusion")
        use_readable_font(application)
        _current.append(Theme(application, mode))
    _current[0].set_mode(mode)
    return _current[0]


def theme() -> Theme:
    """The theme that `install_theme` put in place."""
    return _current[0]
