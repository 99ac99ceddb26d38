"""Reads volumes and makes pictures of planes through them; runs in the viewer's thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmtool_core.records import ItemRef
from vlmtool_desktop.canvas.picture import Picture, make_picture

if TYPE_CHECKING:
    from vlmtool_core.jobs import CancelToken, ProgressCallback
    from vlmtool_core.media import MediaSource, Window
    from vlmtool_core.media.base import PlaneGeometry
    from vlmtool_core.media.volumes.axes import Plane
    from vlmtool_core.media.volumes.letters import EdgeLetters
    from vlmtool_core.media.volumes.volume import Volume


@dataclass(frozen=True)
class LoadedVolume:
    """A volume in memory, and how the item wants to be shown."""

    volume: Volume = field(repr=False)
    window: Window
    inverted: bool
    unit: str


@dataclass(frozen=True)
class ShownPlane:
    """A plane as a picture with square pixels, and where it lies."""

    plane: Plane
    number: int
    count: int
    picture: Picture
    geometry: PlaneGeometry
    letters: EdgeLetters | None


def load_volume(
    ref: ItemRef, frame: int, progress: ProgressCallback, cancel: CancelToken
) -> LoadedVolume:
    """Read the volume that a frame of an item belongs to.

    Raises
    ------
    MediaError : it is no volume, does not fit into memory, or cannot be decoded
    CancelledError
    """
    from vlmtool_core.media import open_media
    from vlmtool_core.media.base import grey
    from vlmtool_core.media.volumes.building import build_volume
    from vlmtool_core.media.volumes.rendering import default_window

    with open_media(ref.path, ref.files) as source:
        volume = build_volume(source, frame, progress=progress, cancel=cancel)
        values = grey(source)
        assert values is not None  # else it were no volume
        window = default_window(values)
        return LoadedVolume(volume, window, values.is_inverted(frame), source.info.unit)


def show_plane(loaded: LoadedVolume, plane: Plane, number: int, window: Window) -> ShownPlane:
    """Cut a plane and bring it through a window."""
    from vlmtool_core.media.volumes.rendering import grey_picture

    volume = loaded.volume
    found = volume.reslice(plane, number)
    pixels = grey_picture(found, window, inverted=loaded.inverted)
    height, width = pixels.shape
    return ShownPlane(
        plane,
        number,
        volume.count(plane),
        make_picture(pixels, (width, height)),
        found.geometry,
        volume.letters(found.geometry),
    )


def letters_of(source: MediaSource, index: int) -> EdgeLetters | None:
    """What lies at the edges of a frame; None when its file does not say.

    Raises
    ------
    MediaError : its header cannot be read
    """
    told = getattr(source, "letters", None)
    letters: EdgeLetters | None = None if told is None else told(index)
    return letters
