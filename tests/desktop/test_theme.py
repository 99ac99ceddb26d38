"""Colours: complete, readable, and switched without a restart."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from vlmtool_desktop import icons
from vlmtool_desktop.theme import (
    label_colours,
    style_sheet,
    text_on,
    theme,
    tokens,
)
from vlmtool_resources import files


def luminance(colour: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    c = QColor(colour)
    return 0.2126 * linear(c.redF()) + 0.7152 * linear(c.greenF()) + 0.0722 * linear(c.blueF())


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_both_themes_have_the_same_colours() -> None:
    assert tokens("light").keys() == tokens("dark").keys()


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("text", ["text", "text-muted", "danger", "success", "warning"])
@pytest.mark.parametrize("ground", ["panel", "window"])
def test_text_is_readable(name: str, text: str, ground: str) -> None:
    assert contrast(tokens(name)[text], tokens(name)[ground]) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("accent-text", "accent"), ("text", "accent-soft"), ("canvas-text", "canvas")],
)
def test_text_on_accents_is_readable(name: str, text: str, ground: str) -> None:
    assert contrast(tokens(name)[text], tokens(name)[ground]) >= 4.5


def test_text_on_label_colours_is_readable() -> None:
    for colour in label_colours():
        assert contrast(text_on(colour), colour) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_style_sheet_has_no_open_token(name: str) -> None:
    assert "@" not in style_sheet(name)


def test_switching_changes_palette_and_style(qapp: QApplication) -> None:
    theme().set_mode("dark")
    assert qapp.palette().window().color().name() == tokens("dark")["window"]
    assert tokens("dark")["panel"] in qapp.styleSheet()
    theme().set_mode("light")
    assert qapp.palette().window().color().name() == tokens("light")["window"]


def test_every_icon_draws_something(qapp: QApplication) -> None:
    names = [e.name[:-4] for e in (files() / "icons").iterdir() if e.name.endswith(".svg")]
    assert len(names) > 30
    for name in names:
        image = icons.draw(name, 24, QColor("#ff0000")).toImage()
        drawn = sum(image.pixelColor(x, y).alpha() > 60 for x in range(24) for y in range(24))
        assert drawn > 15, name
