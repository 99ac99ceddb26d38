"""Video inside DICOM (MPEG-2, MPEG-4, HEVC: PS3.5 A.4.5 to A.4.10): one stream, exact frames."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.budget import check_frames, check_pixels
from vlmtool_core.media.dicom.fragments import Fragment
from vlmtool_core.media.dicom.header import Header
from vlmtool_core.media.safe import life
from vlmtool_core.media.video.container import packets, picture_tracks, reading
from vlmtool_core.media.video.decode import Shown
from vlmtool_core.media.video.rendering import Display, Renderer
from vlmtool_core.records import Json

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Below this distance it is cheaper to decode on than to seek back to a key frame.
_DECODE_ON = 48


class JoinedFragments(io.RawIOBase):
    """The fragments of a file as one stream of bytes, read where they lie."""

    def __init__(self, stream: BinaryIO, fragments: Sequence[Fragment]) -> None:
        super().__init__()
        self._stream = stream
        self._fragments = tuple(fragments)
        starts = [0]
        for fragment in self._fragments:
            starts.append(starts[-1] + fragment.length)
        self._starts, self._place = starts, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._place >= self._starts[-1]:
            return 0
        number = bisect_right(self._starts, self._place) - 1
        within = self._place - self._starts[number]
        fragment = self._fragments[number]
        self._stream.seek(fragment.offset + within)
        data = self._stream.read(min(len(view), fragment.length - within))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


@dataclass(frozen=True)
class _Index:
    """pts : of each frame, ascending; keys : of the key frames; exact : the stream has times."""

    pts: tuple[int, ...]
    keys: tuple[int, ...]
    exact: bool
    seconds: tuple[float, ...] | None


class EncapsulatedClip:
    """The frames of an encapsulated video, by their order of showing. Not thread-safe.

    provenance : how the last frame came to be: matrix, fields, errors met by the decoder

    Raises
    ------
    DamagedMediaError : FFmpeg cannot read the stream, or it holds no frame
    UnsupportedMediaError : there is no picture track in it, or nothing decodes that
    """

    def __init__(
        self, header: Header, fragments: Sequence[Fragment], rows: int, columns: int
    ) -> None:
        self._header = header
        self._fragments = tuple(fragments)
        self._size = (rows, columns)
        self._renderer = Renderer(header.path, Display((columns, rows)))
        self._frames: Generator[tuple[int, VideoFrame]] | None = None
        self._next = 0
        self._pending: tuple[int, VideoFrame] | None = None
        self.provenance: dict[str, Json] = {}
        self._index = self._read_index()
        check_frames(header.path, len(self._index.pts))

    def __len__(self) -> int:
        return len(self._index.pts)

    @property
    def times_s(self) -> tuple[float, ...] | None:
        """Seconds of each frame from the first; None where the stream has no times."""
        return self._index.seconds

    def notes_on(self, stated: int) -> tuple[str, ...]:
        """What is wrong with the number of frames that the header states."""
        if stated == len(self):
            return ()
        only = "only " if len(self) < stated else ""
        return (f"the header says {stated} frames, {only}{len(self)} are in the video stream",)

    # Opening ---------------------------------------------------------------------------------

    def _open(self) -> tuple[InputContainer, VideoStream, JoinedFragments]:
        import av

        joined = JoinedFragments(self._header.opener(), self._fragments)
        try:
            with reading(self._header.path):
                container = av.open(joined, "r", metadata_errors="replace")
        except Exception:
            joined.close()
            raise
        tracks = picture_tracks(container)
        if not tracks or tracks[0].codec_context is None:
            container.close()
            joined.close()
            raise UnsupportedMediaError(
                "no picture track in its video that can be decoded", path=self._header.path
            )
        context = tracks[0].codec_context
        check_pixels(self._header.path, context.width, context.height)
        tracks[0].thread_type = "AUTO"
        return container, tracks[0], joined

    def _read_index(self) -> _Index:
        container, stream, joined = self._open()
        try:
            found = [
                (packet.pts, packet.is_keyframe)
                for packet in packets(container, stream)
                if packet.size and not packet.is_discard
            ]
            base = stream.time_base
        finally:
            container.close()
            joined.close()
        pts = sorted(time for time, _ in found if time is not None)
        keys = sorted(time for time, key in found if key and time is not None)
        if keys:  # pictures before the first key frame depend on ones that are not there
            pts = [time for time in pts if time >= keys[0]]
        if keys and len(set(pts)) == len(pts) and all(time is not None for time, _ in found):
            seconds = tuple(float((time - pts[0]) * base) for time in pts) if base else None
            return _Index(tuple(pts), tuple(keys), True, seconds)
        count = self._count()
        if not count:
            raise DamagedMediaError(
                "its video stream holds no frame that can be decoded", path=self._header.path
            )
        return _Index(tuple(range(count)), (0,), False, None)

    def _count(self) -> int:
        """For streams without times (bare MPEG-2, H.264): as many as can be decoded."""
        container, stream, joined = self._open()
        try:
            return sum(1 for _ in _pictures(container, stream))
        finally:
            container.close()
            joined.close()

    # Reading ---------------------------------------------------------------------------------

    def frame(self, index: int) -> np.ndarray:
        """uint8 RGB (rows, columns, 3).

        Raises
        ------
        DamagedMediaError : the stream does not deliver this frame
        """
        picture = self._reach(index)
        if picture is None:
            raise DamagedMediaError(
                f"frame {index + 1} of its video cannot be decoded", path=self._header.path
            )
        if (picture.height, picture.width) != self._size:
            raise DamagedMediaError(
                f"the video holds {picture.width} x {picture.height} pixels, "
                f"the header says {self._size[1]} x {self._size[0]}",
                path=self._header.path,
            )
        pixels, said = self._renderer.rgb(Shown(index, picture), None)
        self.provenance = {key: value for key, value in said.items() if key != "decoder"}
        return pixels

    def _reach(self, index: int) -> VideoFrame | None:
        """Decode on to a frame, or from the key frame before it."""
        if self._frames is None or not self._lies_ahead(index):
            self._rewind(index)
        assert self._frames is not None
        while True:
            found = self._pending or next(self._frames, None)
            self._pending = None
            if found is None:
                self._next = len(self)
                return None
            place, picture = found
            if place > index:
                self._pending = found
                return None
            self._next = place + 1
            if place == index:
                return picture

    def _lies_ahead(self, index: int) -> bool:
        if index < self._next:
            return False
        return index - self._next <= _DECODE_ON or self._key_before(index) <= self._next

    def _key_before(self, index: int) -> int:
        """The number of the last key frame at or before a frame."""
        keys, pts = self._index.keys, self._index.pts
        place = bisect_right(keys, pts[index]) - 1
        return bisect_right(pts, keys[place]) - 1 if place >= 0 else 0

    def _rewind(self, index: int) -> None:
        self.close()
        anchor = self._key_before(index) if self._index.exact else 0
        self._frames = self._from(anchor)
        self._pending = next(self._frames, None)
        if anchor and (self._pending is None or self._pending[0] > index):
            # The demuxer landed behind the key frame: decode from the start.
            self.close()
            self._frames = self._from(0)
        self._next = 0

    def _from(self, anchor: int) -> Generator[tuple[int, VideoFrame]]:
        container, stream, joined = self._open()
        try:
            if anchor:
                with reading(self._header.path):
                    container.seek(self._index.pts[anchor], stream=stream, backward=True)
            # A picture that breaks the decoder is skipped, and read as missing.
            for ordinal, picture in enumerate(_pictures(container, stream)):
                place = self._place(picture, ordinal)
                # Pictures between the demuxer's landing and the key frame may lack references.
                if place is not None and place >= anchor:
                    yield place, picture
        finally:
            container.close()
            joined.close()

    def _place(self, picture: VideoFrame, ordinal: int) -> int | None:
        pts = self._index.pts
        if not self._index.exact:
            return ordinal if ordinal < len(pts) else None
        if picture.pts is None or picture.pts < pts[0]:
            return None
        place = bisect_right(pts, picture.pts) - 1
        return place if pts[place] == picture.pts else None

    def close(self) -> None:
        """Let the decoder go; the next frame opens it again."""
        frames, self._frames, self._pending = self._frames, None, None
        if frames is not None:
            frames.close()


def _pictures(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All that can be decoded, in the order of showing."""
    import av.error

    for packet in packets(container, stream):
        life.sign()
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue
