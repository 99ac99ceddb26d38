"""What the header and the first frame of a video say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo
from vlmtool_core.media.budget import check_frames, check_pixels
from vlmtool_core.media.video.container import picture_tracks, present_entries
from vlmtool_core.media.video.decode import Head
from vlmtool_core.media.video.orientation import orientation_of
from vlmtool_core.media.video.rendering import (
    DEINTERLACER,
    MATRICES,
    TRANSFERS,
    Display,
    matrix_of,
    plausible_aspect,
)
from vlmtool_core.records import Json, MediaKind

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Tags of containers that tell where, by whom or with whose device a recording was made.
_IDENTIFYING = ("location", "artist", "author", "title", "comment", "make", "model", "com.apple")
_START_TAGS = ("com.apple.quicktime.creationdate", "creation_time", "date")
# Their times are the recorder's own wall clock, of no zone that anybody knows.
CLOCK_FORMATS = ("dhav",)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Header:
    """What is known of a video before its packets are read.

    stated_frames : what the container says, present or not
    interlaced : whether its frames hold two fields
    """

    info: MediaInfo
    display: Display
    interlaced: bool
    stated_frames: int | None


def read_header(path: Path, size: int, head: Head) -> Header:
    """What the container says and the first frames, which alone tell of rotation and fields.

    Raises
    ------
    DamagedMediaError, BudgetExceededError
    """
    container, stream, first = head.container, head.stream, head.first
    if not first:
        raise DamagedMediaError("no frame can be decoded", path=path)
    aspect = plausible_aspect(stream.sample_aspect_ratio)
    picture = first[0]
    display = Display((picture.width, picture.height), aspect, orientation_of(picture))
    width, height = display.size
    check_pixels(path, width, height)
    interlaced = any(frame.interlaced_frame for frame in first)
    count, duration, cut = _length(size, container, stream)
    if count:
        check_frames(path, count)
    rate = stream.average_rate or stream.guessed_rate
    info = MediaInfo(
        path,
        MediaKind.VIDEO,
        width,
        height,
        count,
        duration_s=duration,
        rate=float(rate) if rate else None,
        warnings=(*cut, *_notes(container, picture, display)),
        facts={
            **_stream_facts(container, stream),
            **_picture_facts(picture, display, interlaced=interlaced),
        },
        identifying=_identifying(container, stream),
    )
    return Header(info, display, interlaced, stream.frames or None)


def _length(
    size: int, container: InputContainer, stream: VideoStream
) -> tuple[int | None, float | None, tuple[str, ...]]:
    """Frames and seconds that the file really has, and a warning where some are missing."""
    stated = stream.frames or None
    duration = _duration(container, stream)
    total, present = present_entries(stream, size)
    if not (stated and total and present < total):
        return stated, duration, ()
    note = f"truncated: {present} of {total} frames are in the file"
    return present, duration * present / total if duration else None, (note,)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / _MICROSECONDS if container.duration else None


def _stream_facts(container: InputContainer, stream: VideoStream) -> dict[str, Json]:
    context = stream.codec_context
    start_s = float((stream.start_time or 0) * (stream.time_base or 0))
    facts: dict[str, Json] = {
        "format": container.format.name.split(",")[0],
        "codec": context.name,
        "pixel_format": context.pix_fmt,
        "time_base": str(stream.time_base or Fraction(0)),
        "start_s": start_s,
    }
    if stream.frames:
        facts["frames_stated"] = stream.frames
    if context.profile:
        facts["profile"] = str(context.profile)
    tracks = len(picture_tracks(container))
    if tracks > 1:
        facts["picture_tracks"] = tracks
    if container.streams.audio:
        facts["sound_tracks"] = len(container.streams.audio)
    recorded = recorded_at(container, stream)
    if not recorded and container.format.name in CLOCK_FORMATS:
        recorded = datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if recorded:
        facts["recorded_at"] = recorded
    return facts


def recorded_at(container: InputContainer, stream: VideoStream) -> str:
    """When the recording was made, as the container says it; "" where it does not."""
    tags = {key.lower(): value for key, value in (stream.metadata | container.metadata).items()}
    return next((tags[name] for name in _START_TAGS if tags.get(name)), "")


def _picture_facts(picture: VideoFrame, display: Display, *, interlaced: bool) -> dict[str, Json]:
    facts: dict[str, Json] = {}
    orientation = display.orientation
    if orientation.rotation_deg:
        facts["rotation_deg"] = orientation.rotation_deg
    if orientation.mirrored:
        facts["mirrored"] = True
    if display.aspect != 1:
        facts["pixel_aspect_ratio"] = float(display.aspect)
        facts["coded_width"], facts["coded_height"] = display.coded
    if interlaced:
        facts["interlaced"] = True
        facts["deinterlaced"] = DEINTERLACER
    matrix, stated = matrix_of(picture.colorspace, *display.coded)
    if picture.format.name.startswith(("yuv", "nv", "p0", "p2")):
        facts["matrix"] = MATRICES[matrix] + ("" if stated else " (assumed)")
    if picture.format.components[0].bits > 8:
        facts["bits"] = picture.format.components[0].bits
    if picture.color_trc in TRANSFERS:
        facts["transfer"] = TRANSFERS[picture.color_trc]
    return facts


def _notes(container: InputContainer, picture: VideoFrame, display: Display) -> tuple[str, ...]:
    notes = []
    if not display.orientation.exact:
        notes.append("the file asks for a turn by no right angle; the nearest one is shown")
    tracks = len(picture_tracks(container))
    if tracks > 1:
        notes.append(f"{tracks} picture tracks; only the first is shown")
    transfer = TRANSFERS.get(picture.color_trc)
    if transfer:
        notes.append(
            f"HDR ({transfer}): shown without tone mapping, so brightness and colours are not right"
        )
    return tuple(notes)


def _identifying(container: InputContainer, stream: VideoStream) -> dict[str, str]:
    """Tags that tell of place, person or device."""
    tags = stream.metadata | container.metadata
    chosen = {key: value for key, value in tags.items() if key.lower().startswith(_IDENTIFYING)}
    return {key: value for key, value in chosen.items() if key.lower() not in _START_TAGS}
