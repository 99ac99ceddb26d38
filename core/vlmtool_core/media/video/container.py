"""Opens the container of a video, chooses its picture track, and reads its packets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    MediaNotFoundError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

UNFINISHED = (
    "The recording was never finished. Export it again at the recorder; else let a repair tool "
    "rebuild the index in a copy, with a whole file of the same camera. Keep the original as it is."
)
# So many atoms are looked at for an index: a file has a handful, and each one costs a read.
_MOST_ATOMS = 10_000


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what FFmpeg raises into our errors, naming the file."""
    import av.error

    try:
        yield
    except MediaError:
        raise
    except (av.error.PermissionError, av.error.FileNotFoundError, PermissionError) as error:
        raise MediaNotFoundError(str(error.strerror), path=path) from error
    except (av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError) as error:
        raise UnsupportedMediaError(f"no decoder: {error.strerror}", path=path) from error
    except MemoryError as error:
        raise BudgetExceededError("not enough memory to decode it", path=path) from error
    except (av.error.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DamagedMediaError(f"the video cannot be read: {reason}", path=path) from error


def open_stream(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a container and choose its picture track: the first that is no cover picture.

    Raises
    ------
    DamagedMediaError : no container, or one without its index
    UnsupportedMediaError : no picture track, or nothing decodes it
    """
    import av
    import av.error

    with reading(path):
        try:
            container = av.open(str(path), metadata_errors="replace")
        except av.error.InvalidDataError as error:
            if lacks_index(path):
                raise DamagedMediaError(
                    "the index of the video (moov) is missing", path=path, remedy=UNFINISHED
                ) from error
            raise
    tracks = picture_tracks(container)
    stream = tracks[0] if tracks else None
    if stream is None or stream.codec_context is None:
        container.close()
        what = (
            "there is no picture track in it" if stream is None else "no decoder for its pictures"
        )
        raise UnsupportedMediaError(what, path=path)
    stream.thread_type = "AUTO"
    return container, stream


def picture_tracks(container: InputContainer) -> list[VideoStream]:
    """The video tracks that are no cover pictures, in the order of the file."""
    from av.stream import Disposition

    cover = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def lacks_index(path: Path) -> bool:
    """Whether a file is made of QuickTime or MP4 atoms (ISO/IEC 14496-12, 4.2) without a moov."""
    size = path.stat().st_size
    place = 0
    named = set()
    with path.open("rb") as file:
        for _ in range(_MOST_ATOMS):
            file.seek(place)
            head = file.read(16)
            if len(head) < 8:
                break
            length, name = struct.unpack_from(">I4s", head)
            named.add(name)
            if length == 1 and len(head) == 16:
                length = struct.unpack_from(">Q", head, 8)[0]
            if length < 8:  # 0 lasts to the end of the file
                break
            place += length
            if place >= size:
                break
    return bool(named & {b"ftyp", b"mdat"}) and b"moov" not in named


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets of the picture track up to the end, or up to where the file breaks off."""
    import av.error

    iterator = container.demux(stream)
    while True:
        try:
            packet = next(iterator)
        except StopIteration:
            return
        except av.error.FFmpegError:
            # A torn tail: what came before it is good, and the count tells what is missing.
            return
        yield packet


def present_entries(stream: VideoStream, file_size: int) -> tuple[int, int]:
    """(entries of the container's own index, those whose bytes are in the file)."""
    total = present = 0
    for entry in stream.index_entries:
        total += 1
        present += entry.pos + entry.size <= file_size
    return total, present
