"""Values on their way to a worker and back: the same afterwards, and nothing else gets through."""

from __future__ import annotations

import io
import struct
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vlmtool_core.errors import BudgetExceededError, FormatError
from vlmtool_core.media.base import MediaInfo, PlaneGeometry, Window
from vlmtool_core.media.safe import failures, wire
from vlmtool_core.media.safe.arena import Arena, Places
from vlmtool_core.media.video.index import FrameIndex
from vlmtool_core.records import Frame, MediaKind


def travelled(value: Any) -> Any:
    outgoing, message = wire.pack({"value": value})
    pipe = io.BytesIO()
    outgoing.write(pipe, outgoing.packed(message)[0])
    pipe.seek(0)
    incoming = wire.read(pipe)
    assert incoming is not None
    assert wire.read(pipe) is None
    return incoming.value("value")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
    | st.binary(max_size=40)
    | st.fractions()
    | st.timedeltas()
    | st.dates()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.just("$a"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    found = travelled(value)
    assert found == value
    assert type(found) is type(value)


@given(
    arrays.arrays(
        st.sampled_from(["u1", "i2", ">u2", "<f4", "f8", "?", "i8", "c8"]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_arrays_come_back_with_their_shape_type_and_bits(value: np.ndarray) -> None:
    found = travelled((value, 1))[0]
    assert found.dtype == value.dtype
    assert found.shape == value.shape
    assert found.tobytes() == value.tobytes()
    assert found.flags.writeable


def test_masked_arrays_keep_their_mask() -> None:
    value = np.ma.MaskedArray(np.arange(6.0).reshape(2, 3), mask=[[0, 1, 0], [1, 0, 0]])
    found = travelled(value)
    assert np.array_equal(found.mask, value.mask)
    assert np.array_equal(found.compressed(), value.compressed())
    assert travelled(np.ma.MaskedArray([1, 2])).mask is np.ma.nomask


def test_records_of_media_travel() -> None:
    info = MediaInfo(
        Path("a/b.dcm"),
        MediaKind.DICOM,
        3,
        4,
        facts={"a": [1, {"b": None}], "$o": float("inf")},
        windows=(Window(40, 400, "soft tissue"),),
    )
    assert travelled(info) == info
    plane = PlaneGeometry((0.0, 1.0, 2.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5), "1.2")
    assert travelled([plane, None]) == [plane, None]
    index = FrameIndex([0, 512], [0], [0], Fraction(1, 12800))
    assert travelled(index).time_base == Fraction(1, 12800)
    frame = travelled(Frame(np.zeros((2, 3, 3), np.uint8), 5, 0.2, {"decoder": "x"}, (30, 20)))
    assert frame.size == (30, 20)
    assert frame.provenance == {"decoder": "x"}
    assert travelled({"when": datetime(2026, 1, 2, tzinfo=UTC)})["when"].tzinfo is not None
    assert travelled((date(2026, 1, 2), timedelta(seconds=1.5), np.float32(0.5), range(3))) == (
        date(2026, 1, 2),
        timedelta(seconds=1.5),
        0.5,
        [0, 1, 2],
    )


@pytest.mark.parametrize("value", [object(), open, np.array([object()]), io.BytesIO])
def test_what_cannot_travel_is_refused_before_it_is_sent(value: object) -> None:
    with pytest.raises(TypeError, match="cannot travel"):
        travelled(value)


@pytest.mark.parametrize(
    "value",
    [
        {"$o": ["subprocess.Popen", {"args": "true"}]},
        {"$o": ["vlmtool_core.media.opening.open_media", {"path": "x"}]},
        {"$o": ["vlmtool_core.media.safe.pool.Pool", {}]},
        {"$o": ["vlmtool_core.records.Box", {"x1": 5, "y1": 0, "x2": 1, "y2": 1, "label": ""}]},
        {"$o": ["vlmtool_core.records.Window", 3]},
        {"$e": ["vlmtool_core.records.MediaKind", "other"]},
        {"$a": ["|O", [1], ["inline", 0]]},
        {"$a": ["<f8", [1000], ["inline", 0]]},
        {"$a": ["<f8", [-1], ["inline", 0]]},
        {"$a": ["<f8", [1], ["shared", 0]]},
        {"$a": ["<f8", [1], ["inline", -8]]},
        {"$q": [1, 0]},
        {"$t": 5},
        {"$a": 1},
    ],
)
def test_a_worker_that_was_taken_over_cannot_make_other_things(value: Any) -> None:
    incoming = wire.Incoming({"value": value}, b"12345678")
    with pytest.raises(FormatError):
        incoming.value("value")


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<II", 2, 0) + b"[]",
        struct.pack("<II", 2, 0) + b"{]",
        struct.pack("<II", 0xFFFFFFFF, 0),
        struct.pack("<II", 200_000, 0) + b"[" * 200_000,
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        wire.read(io.BytesIO(data))


def test_an_error_comes_back_as_it_was_raised() -> None:
    error = BudgetExceededError("too much", path="x.dcm", field="max_frames", remedy="Less.")
    found = failures.from_json(failures.to_json(error), Path("other"))
    assert type(found) is BudgetExceededError
    assert (found.message, found.path) == ("too much", "x.dcm")
    assert (found.field, found.remedy) == ("max_frames", "Less.")
    assert isinstance(
        failures.from_json({"class": "SystemExit", "message": "1"}, Path("a")), Exception
    )
    unknown = failures.from_json(failures.to_json(ZeroDivisionError("oops")), Path("a.png"))
    assert str(unknown) == "a.png: cannot be decoded: ZeroDivisionError: oops"


def test_places_are_given_out_again_once_they_are_free() -> None:
    arena = Arena(1 << 20)
    assert arena.file is not None
    import os

    places = Places(str(os.dup(arena.file.fileno())), arena.size)
    freed: list[int] = []
    first = places.put(np.full(300_000, 1, np.uint8))
    second = places.put(np.full(300_000, 2, np.uint8))
    assert first is not None
    assert second is not None
    assert places.put(np.zeros(700_000, np.uint8)) is None
    view = arena.view(first, 300_000, freed.append)
    part = view[100:200]
    del view
    assert freed == []
    assert (part == 1).all()
    del part
    assert freed == [first]
    places.release(first)
    assert places.put(np.full(200_000, 3, np.uint8)) == first
    assert (arena.view(second, 300_000, freed.append) == 2).all()
    with pytest.raises(ValueError, match="outside"):
        arena.view(arena.size - 10, 20, freed.append)
