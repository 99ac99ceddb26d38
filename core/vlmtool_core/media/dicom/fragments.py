"""Where the frames of encapsulated pixel data lie (PS3.5 A.4): items, offset tables, damage."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

_ITEM = (0xFFFE, 0xE000)
_SEQUENCE_END = (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
# How the data of a frame begin: JPEG and JPEG-LS, JPEG 2000, JP2, JPEG XL bare and boxed.
_STARTS = (
    b"\xff\xd8",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x0a",
    b"\x00\x00\x00\x0cJXL ",
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """offset, length : of its bytes in the file; place : of its item, as offset tables count."""

    offset: int
    length: int
    place: int


@dataclass(frozen=True, slots=True)
class FrameTable:
    """frames : the fragments of each frame that is there; notes : what is wrong with them."""

    frames: tuple[tuple[Fragment, ...], ...]
    notes: tuple[str, ...] = ()


def frame_table(
    stream: BinaryIO,
    offset: int,
    frame_count: int,
    *,
    extended: Sequence[int] = (),
    one_each: bool = False,
) -> FrameTable:
    """Read the items from `offset` on, and share the fragments out to `frame_count` frames.

    extended : the Extended Offset Table, empty when there is none
    one_each : the syntax codes every frame as one fragment (RLE, deflated frames)
    """
    basic, fragments, notes = _items(stream, offset)
    frames: list[tuple[Fragment, ...]] | None = None
    for offsets, name in ((extended, "extended offset table"), (basic, "basic offset table")):
        if not offsets or frames is not None:
            continue
        frames = _by_offsets(fragments, offsets)
        if frames is None or (len(frames) != frame_count and len(fragments) == frame_count):
            notes.append(f"the {name} is wrong and was left aside")
            frames = None
    if frames is None:
        frames = _without_offsets(stream, fragments, frame_count, one_each=one_each)
    if len(frames) > frame_count:
        notes.append(f"the header says {frame_count} frames, the file holds {len(frames)}")
    elif len(frames) < frame_count:
        notes.append(f"the header says {frame_count} frames, only {len(frames)} are in the file")
    return FrameTable(tuple(frames), tuple(notes))


def _items(stream: BinaryIO, offset: int) -> tuple[list[int], list[Fragment], list[str]]:
    """The basic offset table, the fragments, and notes on what ends too early."""
    end = stream.seek(0, 2)
    stream.seek(offset)
    table: list[int] | None = None
    fragments: list[Fragment] = []
    base = 0
    while True:
        head = stream.read(8)
        if len(head) < 8:
            return table or [], fragments, ["the file breaks off within its pixel data"]
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) == _SEQUENCE_END:
            return table or [], fragments, []
        if (group, element) != _ITEM or length == _UNDEFINED:
            return table or [], fragments, ["the pixel data end without their delimiter"]
        start = stream.tell()
        if table is None:
            raw = stream.read(min(length, end - start))
            table = list(struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4]))
            base = start + length
            stream.seek(base)
            continue
        present = max(0, min(length, end - start))
        fragments.append(Fragment(start, present, start - 8 - base))
        if present < length:
            return table, fragments, ["the file breaks off within its pixel data"]
        stream.seek(length, 1)


def _by_offsets(
    fragments: Sequence[Fragment], offsets: Sequence[int]
) -> list[tuple[Fragment, ...]] | None:
    """Frames that begin at the given offsets; None where these meet no item or do not ascend."""
    places = {fragment.place: number for number, fragment in enumerate(fragments)}
    starts = [places.get(int(offset), -1) for offset in offsets]
    if not starts or starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        return None
    ends = [*starts[1:], len(fragments)]
    return [tuple(fragments[a:b]) for a, b in zip(starts, ends, strict=True)]


def _without_offsets(
    stream: BinaryIO, fragments: Sequence[Fragment], frame_count: int, *, one_each: bool
) -> list[tuple[Fragment, ...]]:
    fragments = [fragment for fragment in fragments if fragment.length]
    if one_each or len(fragments) == frame_count:
        return [(fragment,) for fragment in fragments]
    frames: list[list[Fragment]] = []
    for fragment in fragments:
        stream.seek(fragment.offset)
        begins = stream.read(12).startswith(_STARTS)
        if begins or not frames:
            frames.append([])
        frames[-1].append(fragment)
    return [tuple(frame) for frame in frames]


def read_frame(stream: BinaryIO, fragments: Sequence[Fragment]) -> bytes:
    """The bytes of a frame, its fragments joined."""
    parts = []
    for fragment in fragments:
        stream.seek(fragment.offset)
        parts.append(stream.read(fragment.length))
    return b"".join(parts)
