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
    from vlmtool_core.media.volumes.letters import EdgeLetters
    from vlmtool_core.media.volumes.volume import Volume
    from vlmtool_desktop.models.linked_planes import LinkedPlanes


@dataclass(frozen=True)
class LoadedVolume:
    """A volume in memory, where its planes are, and how the item wants to be shown."""

    volume: Volume = field(repr=False)
    planes: LinkedPlanes = field(repr=False)
    window: Window
    inverted: bool
    unit: str


@dataclass(frozen=True)
class ShownPlane:
    """A plane as a picture with square pixels, and where it lies."""

    plane: str
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
    from vlmtool_desktop.models.linked_planes import LinkedPlanes

    with open_media(ref.path, ref.files) as source:
        volume = build_volume(source, frame, progress=progress, cancel=cancel)
        values = grey(source)
        assert values is not None  # else it were no volume
        window = default_window(values)
        planes = LinkedPlanes(volume, frame)
        return LoadedVolume(volume, planes, window, values.is_inverted(frame), source.info.unit)


def show_plane(loaded: LoadedVolume, name: str, number: int, window: Window) -> ShownPlane:
    """Cut the plane of that name (see `Plane`) and number, and bring it through a window."""
    from vlmtool_core.media.volumes.axes import Plane
    from vlmtool_core.media.volumes.rendering import grey_picture

    volume, plane = loaded.volume, Plane(name)
    found = volume.reslice(plane, number)
    pixels = grey_picture(found, window, inverted=loaded.inverted)
    height, width = pixels.shape
    return ShownPlane(
        name,
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
