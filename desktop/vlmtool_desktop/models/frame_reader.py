"""Opens media and decodes frames for the viewer. Used in the viewer's thread only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.records import ItemRef, MediaKind
from vlmtool_desktop.canvas.picture import Picture, make_picture
from vlmtool_desktop.models.plane_reader import letters_of
from vlmtool_desktop.models.presenting import presented, presented_pixels

if TYPE_CHECKING:
    from vlmtool_core.media import MediaInfo, MediaSource, Window
    from vlmtool_core.media.dicom.elements import Element
    from vlmtool_core.media.dicom.presentation_graphics import Drawn
    from vlmtool_core.media.drawing import Drawing
    from vlmtool_core.media.volumes.letters import EdgeLetters
    from vlmtool_core.records import Frame

MOST_OPEN = 3
MOST_CACHED_BYTES = 400_000_000
# Beyond this side the viewer decodes smaller; boxes still refer to the source's own pixels.
LONGEST_SIDE = 8192
# Pixels that differ less from squares are shown as such.
_SEEN = 0.005


@dataclass(frozen=True)
class Loaded:
    """A frame ready to be shown.

    frame_count : exact, also for video
    values : modality values of a grey frame, for windowing; None for everything else
    window : the window that `picture` was made with
    by_source : its grey values alone do not make the picture: some are colours, or a presentation
        table follows the window
    windowed : the frame through the window that was asked for, None where it is `window`
    graphics : what shutter and overlay planes lay over it, None where there is nothing
    drawn : `picture` with them; notes : what a user must know of the item or of this frame
    letters : what lies at its edges, None where the file does not say
    state : the presentation state that it is shown by; marks : what that draws over it
    """

    ref: ItemRef
    index: int
    info: MediaInfo
    picture: Picture
    frame_count: int = 1
    time_s: float | None = None
    window: Window | None = None
    windowed: Picture | None = None
    values: Any = field(default=None, repr=False)
    inverted: bool = False
    by_source: bool = False
    graphics: Drawing | None = field(default=None, repr=False)
    drawn: Picture | None = None
    notes: tuple[str, ...] = ()
    letters: EdgeLetters | None = None
    state: Path | None = None
    marks: tuple[Drawn, ...] = field(default=(), repr=False)


class FrameReader:
    """A few open sources and the frames decoded last. Not thread-safe."""

    def __init__(self) -> None:
        self._sources: OrderedDict[tuple[str, int], MediaSource] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int, int], Loaded] = OrderedDict()
        self._states: dict[tuple[str, int], Path] = {}

    def choose_state(self, ref: ItemRef, state: Path | None) -> None:
        """Show the frames of an item by a presentation state from now on, or by none."""
        item = _key(ref, 0)[:2]
        self._states.pop(item, None)
        if state is not None:
            self._states[item] = state
        for key in [key for key in self._frames if key[:2] == item]:
            del self._frames[key]

    def load(
        self, ref: ItemRef, index: int, *, window: Window | None = None, graphics: bool = False
    ) -> Loaded:
        """Decode one frame, or take it from the cache.

        window : what a frame with values is shown through, its own when left out
        graphics : whether the windowed picture has the drawings of its file over it

        Raises
        ------
        MediaError : the item or the frame cannot be decoded.
        """
        loaded = self._cached(ref, index)
        self._make_room()
        if window is None or loaded.values is None or window == loaded.window:
            return loaded
        return replace(loaded, windowed=self.render(loaded, window, graphics=graphics))

    def read_ahead(self, ref: ItemRef, wanted: Sequence[int]) -> Sequence[int]:
        """Decode the first of `wanted` that is not cached; what is left to do after it.

        Nothing is left once the frames take half of the cache: what was seen stays, too.

        Raises
        ------
        MediaError : the frame cannot be decoded.
        """
        missing = [index for index in wanted if _key(ref, index) not in self._frames]
        ahead = (loaded for index in wanted if (loaded := self._frames.get(_key(ref, index))))
        if not missing or sum(map(_bytes, ahead)) > MOST_CACHED_BYTES // 2:
            return ()
        self._cached(ref, missing[0])
        self._make_room()
        return missing[1:]

    def _cached(self, ref: ItemRef, index: int) -> Loaded:
        key = _key(ref, index)
        if key not in self._frames:
            self._frames[key] = self._decode(self._open(ref), ref, index)
        self._frames.move_to_end(key)
        return self._frames[key]

    def _make_room(self) -> None:
        """Drop the frames that were not used for longest; the newest one stays in any case."""
        total = sum(map(_bytes, self._frames.values()))
        while len(self._frames) > 1 and total > MOST_CACHED_BYTES:
            total -= _bytes(self._frames.popitem(last=False)[1])

    def render(self, loaded: Loaded, window: Window, *, graphics: bool = False) -> Picture:
        """The same frame through another window."""
        from vlmtool_core.media.dicom.voi import render_window

        if loaded.state is not None:
            pixels = presented_pixels(self._open(loaded.ref), loaded, window)
        elif loaded.by_source:
            source = self._open(loaded.ref)
            pixels = source.frame(loaded.index, max_side=LONGEST_SIDE, window=window).pixels
        else:
            pixels = render_window(loaded.values, window, inverted=loaded.inverted)
        if graphics and loaded.graphics is not None:
            pixels = loaded.graphics.painted(pixels)
        return make_picture(pixels, loaded.picture.size, loaded.picture.aspect)

    def _decode(self, source: MediaSource, ref: ItemRef, index: int) -> Loaded:
        frame = whole_view(source, index)
        picture = make_picture(frame.pixels, frame.size, pixel_aspect(source, index))
        loaded = Loaded(ref, index, source.info, picture, frame_count(source), frame.time_s)
        loaded = replace(_with_graphics(loaded, source, frame), letters=letters_of(source, index))
        return self._presented(self._with_values(source, loaded, frame), source)

    def _presented(self, loaded: Loaded, source: MediaSource) -> Loaded:
        state = self._states.get(_key(loaded.ref, 0)[:2])
        return loaded if state is None else presented(loaded, source, state)

    def _with_values(self, source: MediaSource, loaded: Loaded, frame: Frame) -> Loaded:
        """What the window of a grey frame is changed by."""
        if "voi" not in frame.provenance:
            return loaded
        grey: Any = source
        return replace(
            loaded,
            values=grey.modality_values(loaded.index),
            window=_window(frame.provenance["voi"], grey, loaded.index),
            inverted=bool(frame.provenance.get("inverted")),
            by_source=not {"palette", "presentation"}.isdisjoint(frame.provenance),
        )

    def renew(self, ref: ItemRef) -> Picture:
        """The whole of a huge picture again, of which more is known now; it replaces what is kept.

        Raises
        ------
        MediaError : it cannot be decoded.
        """
        frame = whole_view(self._open(ref), 0)
        picture = make_picture(frame.pixels, frame.size)
        key = _key(ref, 0)
        if key in self._frames:
            self._frames[key] = replace(self._frames[key], picture=picture)
        return picture

    def opened(self, ref: ItemRef) -> MediaSource:
        """The item, opened; it stays this reader's, and is for its thread only.

        Raises
        ------
        MediaError : it cannot be opened.
        """
        return self._open(ref)

    def _open(self, ref: ItemRef) -> MediaSource:
        from vlmtool_core.media import open_media

        key = _place(ref)
        if key in self._sources:
            self._sources.move_to_end(key)
            return self._sources[key]
        source = open_media(ref.path, ref.files)
        self._sources[key] = source
        while len(self._sources) > MOST_OPEN:
            self._sources.popitem(last=False)[1].close()
        return source

    def close(self) -> None:
        """Close every source; files can be moved or removed afterwards."""
        self._frames.clear()
        while self._sources:
            self._sources.popitem()[1].close()


def whole_view(source: Any, index: int) -> Frame:
    """A frame to begin with: of a huge picture what is there at once, of others all of it."""
    frame: Frame
    if source.info.facts.get("tiled"):
        frame = source.overview()
    else:
        frame = source.frame(index, max_side=LONGEST_SIDE)
    return frame


def _key(ref: ItemRef, index: int) -> tuple[str, int, int]:
    return *_place(ref), index


def _place(ref: ItemRef) -> tuple[str, int]:
    """What tells an item from all others: several series may be called after one folder."""
    return str(ref.files[0] if ref.files else ref.path), len(ref.files)


def _bytes(loaded: Loaded) -> int:
    levels = [
        level.sizeInBytes()
        for picture in (loaded.picture, loaded.drawn)
        if picture is not None
        for level in picture.levels
    ]
    values = loaded.values
    behind = 0 if values is None else values.data.nbytes + values.mask.nbytes
    return sum(levels) + behind


def pixel_aspect(source: Any, index: int) -> float:
    """Height of a pixel over its width: by its spacing in mm, else by PixelAspectRatio."""
    spacing_of = getattr(source, "spacing", None)
    spacing = None if spacing_of is None else spacing_of(index)
    if spacing is not None:
        return _plain(spacing.row_mm / spacing.column_mm)
    ratio = source.info.facts.get("pixel_aspect_ratio")
    # Of video it is one number, and the reader has made the pixels square.
    return _plain(ratio[0] / ratio[1]) if isinstance(ratio, list | tuple) else 1.0


def _plain(aspect: float) -> float:
    """1 where nobody could see the difference, so that pixels stay as sharp as they are."""
    return 1.0 if abs(aspect - 1) < _SEEN else aspect


def _with_graphics(loaded: Loaded, source: MediaSource, frame: Frame) -> Loaded:
    """What lies over the frame, drawn beside it; a plane that is broken is told, not hidden."""
    from vlmtool_core.errors import MediaError
    from vlmtool_core.media.drawing import drawing_of

    # Read now: a video's warnings grow when its frames are counted.
    notes = source.info.warnings
    try:
        drawing = drawing_of(source, frame)
    except MediaError as error:
        return replace(loaded, notes=(*notes, error.message))
    if drawing is None:
        return replace(loaded, notes=notes)
    drawn = make_picture(drawing.painted(frame.pixels), frame.size, loaded.picture.aspect)
    return replace(loaded, graphics=drawing, drawn=drawn, notes=notes)


def header_of(loaded: Loaded) -> list[Element]:
    """The elements of a DICOM file; of other files, what is known of them.

    Raises
    ------
    MediaError : the header cannot be read.
    """
    from vlmtool_core.media.dicom.elements import Element, elements_of

    ref = loaded.ref
    if ref.kind is MediaKind.DICOM:
        return elements_of(ref.files[loaded.index] if ref.files else ref.path)
    facts = {"width": loaded.info.width, "height": loaded.info.height, **loaded.info.facts}
    return [Element("", name, name, "", str(value), 0, False) for name, value in facts.items()]


def frame_count(source: Any) -> int:
    """How many frames there are; a video's are counted, since containers may lie."""
    if source.info.kind is MediaKind.VIDEO:
        return len(source.index)
    return source.info.frame_count or 1


def _window(voi: Any, source: Any, index: int) -> Window:
    """The window, or the lookup table of the file, that a frame was made with."""
    from vlmtool_core.media import Window

    if voi["function"] == "TABLE":
        default: Window = source.windows(index)[0]
        return default
    return Window(voi["center"], voi["width"], voi["explanation"], voi["function"])
