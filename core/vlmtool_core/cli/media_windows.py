"""Reads the grey window that a person asks for: by numbers, or by the name the file gives it."""

from __future__ import annotations

import re

from vlmtool_core.errors import UsageError
from vlmtool_core.media import MediaInfo, Window
from vlmtool_core.records import Json

METAVAR = "CENTER/WIDTH[/FUNCTION]|NAME"
HELP = (
    "The grey window of a picture with values, in their unit; FUNCTION is linear, linear_exact or "
    "sigmoid. Or the name, or #NUMBER, of a window or lookup table of the file as `media info` "
    "lists them. Without it, the file's first."
)
_FIELD = "--window"
_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_WINDOW = re.compile(rf"{_NUMBER}/{_NUMBER}(?:/(\w+))?")


def chosen_window(text: str, info: MediaInfo) -> Window:
    """The window that `text` asks for.

    Raises
    ------
    UsageError : it is neither a window nor one of the file's
    """
    named = _by_name(text.strip(), info.windows)
    if named is not None:
        return named
    return _by_numbers(text, info)


def _by_name(text: str, windows: tuple[Window, ...]) -> Window | None:
    number = text.removeprefix("#")
    if number != text and number.isdecimal() and 0 < int(number) <= len(windows):
        return windows[int(number) - 1]
    wanted = text.casefold()
    found = [window for window in windows if window.explanation.strip().casefold() == wanted]
    return found[0] if found and wanted else None


def _by_numbers(text: str, info: MediaInfo) -> Window:
    from vlmtool_core.media.dicom import voi

    given = _WINDOW.fullmatch(text.strip())
    if given is not None:
        function = (given[3] or voi.LINEAR).upper()
        window = Window(float(given[1]), float(given[2]), "given", function)
        if function in voi.FUNCTIONS and voi.is_valid(window):
            return window
    names = ", ".join(window.explanation for window in info.windows if window.explanation)
    raise UsageError(
        f"expected CENTER/WIDTH, CENTER/WIDTH/FUNCTION or a name, got {text!r}",
        path=info.path,
        field=_FIELD,
        remedy="For example 40/400 or -600/1500/sigmoid; the width is at least 1 where it is "
        f"linear. Names in this file: {names or 'none'}.",
    )


def windows_json(windows: tuple[Window, ...]) -> list[Json]:
    """The windows and tables of a file, as `media info` tells them."""
    return [
        {
            "number": number,
            "name": window.explanation,
            "function": window.function,
            "center": window.center,
            "width": window.width,
        }
        for number, window in enumerate(windows, start=1)
    ]
