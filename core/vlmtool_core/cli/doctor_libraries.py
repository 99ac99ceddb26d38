"""The shared libraries that Qt needs on Linux, and the packages that bring them."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library: its file, and its package on Debian and Ubuntu, and on Fedora."""

    file: str
    apt: str
    dnf: str


# What importing QtGui and QtWidgets needs, on a screen or off it.
BASE = (
    Library("libEGL.so.1", "libegl1", "libglvnd-egl"),
    Library("libGL.so.1", "libgl1", "libglvnd-glx"),
    Library("libglib-2.0.so.0", "libglib2.0-0", "glib2"),
    Library("libfontconfig.so.1", "libfontconfig1", "fontconfig"),
    Library("libdbus-1.so.3", "libdbus-1-3", "dbus-libs"),
    Library("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon"),
)

# What showing a window on an X11 screen needs besides.
SCREEN = (
    Library("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor"),
    Library("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm"),
    Library("libxcb-image.so.0", "libxcb-image0", "xcb-util-image"),
    Library("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms"),
    Library("libxcb-render-util.so.0", "libxcb-render-util0", "xcb-util-renderutil"),
    Library("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11"),
    Library("libxcb-randr.so.0", "libxcb-randr0", "libxcb"),
    Library("libxcb-shape.so.0", "libxcb-shape0", "libxcb"),
    Library("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb"),
    Library("libX11-xcb.so.1", "libx11-xcb1", "libX11-xcb"),
)


def desktop_libraries(
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, list[str], bool, str]]:
    """Per set of libraries: its name, what is missing, whether it is needed now, the command.

    The libraries of the screen are needed only where there is one.
    """
    environment = os.environ if environment is None else environment
    for name, libraries, needed in (
        ("Qt libraries", BASE, True),
        ("screen libraries", SCREEN, _has_screen(environment)),
    ):
        missing = [library for library in libraries if not loads(library.file)]
        yield name, [library.file for library in missing], needed, install_command(missing)


def loads(file: str) -> bool:
    """Whether the dynamic linker finds the library."""
    try:
        ctypes.CDLL(file)
    except OSError:
        return False
    return True


def install_command(missing: Sequence[Library]) -> str:
    """The command of this system's package manager; Debian's where none is known."""
    if not missing:
        return ""
    if shutil.which("dnf") and not shutil.which("apt-get"):
        return "sudo dnf install " + " ".join(sorted({library.dnf for library in missing}))
    return "sudo apt-get install " + " ".join(sorted({library.apt for library in missing}))


def _has_screen(environment: Mapping[str, str]) -> bool:
    if environment.get("QT_QPA_PLATFORM", "") in {"offscreen", "minimal", "vnc"}:
        return False
    return bool(environment.get("DISPLAY"))
