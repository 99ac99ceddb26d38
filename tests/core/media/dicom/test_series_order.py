"""Slices are in the order of their places whatever their files are called; what is odd is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_core.media.dicom.series import geometry_of, order
from vlmtool_core.media.dicom.slices import Slice, positions_of
from vlmtool_core.media.dicom.splitting import split

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def at(number: int, corner: tuple[float, ...], **changes: object) -> Slice:
    made = Slice(
        path=Path(f"/study/{number}"),
        uid=f"1.2.{number}",
        series="1.2",
        modality="CT",
        size=(8, 8),
        frame_count=1,
        axes=AXIAL,
        corner=corner,
        pixel_spacing=(0.5, 0.5),
        thickness=2.0,
        instance=0.0,
    )
    return replace(made, **changes)


def axial(*places: float, **changes: object) -> list[Slice]:
    return [at(n, (-10.0, 4.0, place), **changes) for n, place in enumerate(places)]


def rotation(turn: float, tip: float) -> np.ndarray:
    a, b = np.deg2rad([turn, tip])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_x @ about_z


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.floats(0.1, 20), min_size=2, max_size=12),
    turn=st.floats(-180, 180),
    tip=st.floats(-90, 90),
    data=st.data(),
)
def test_any_names_in_any_order_give_the_same_stack(steps, turn, tip, data):
    """Slices of an oblique stack, each shifted within its plane as well."""
    matrix = rotation(turn, tip)
    axes = tuple(map(float, np.concatenate([matrix[:, 0], matrix[:, 1]])))
    places = np.cumsum(steps)
    stack = []
    for number, place in enumerate(places):
        shift = data.draw(st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
        corner = tuple(map(float, matrix @ np.array([*shift, place])))
        stack.append(at(number, corner, axes=axes, instance=float(-number)))
    expected = [item.uid for item in stack]
    names = data.draw(st.permutations(range(len(stack))))
    shuffled = data.draw(st.permutations(stack))
    renamed = [
        replace(item, path=Path(f"/other/{names[n]:x}.dcm")) for n, item in enumerate(shuffled)
    ]
    (found,) = split(renamed)
    assert [item.uid for item in order(found.slices)] == expected
    assert np.allclose(positions_of(stack), places)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), times=st.integers(2, 4), count=st.integers(2, 5))
def test_a_4d_series_is_split_alike_from_any_permutation(data, times, count):
    whole = [
        at(
            100 * time + place,
            (0.0, 0.0, 3.0 * place),
            instance=float(place * times + time),
            moments={"time": float(time)} if times % 2 else {},
        )
        for time in range(times)
        for place in range(count)
    ]
    found = split(data.draw(st.permutations(whole)))
    volumes = {
        stack.label: [int(item.path.name) for item in order(stack.slices)] for stack in found
    }
    word, first = ("time", 0) if times % 2 else ("repeat", 1)
    assert volumes == {
        f"{word} {time + first}": [100 * time + place for place in range(count)]
        for time in range(times)
    }


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(8)))
def test_without_positions_the_instance_number_decides(numbers):
    slices = [at(n, (), axes=(), instance=float(number)) for n, number in enumerate(numbers)]
    assert [item.instance for item in order(slices)] == [float(n) for n in range(8)]


@pytest.mark.parametrize("noise", [0.0, 4e-4, 9e-4])
def test_rounded_direction_cosines_do_not_tear_a_stack_apart(noise):
    generator = np.random.default_rng(0)
    slices = [
        replace(item, axes=tuple(map(float, np.array(AXIAL) + generator.uniform(-noise, noise, 6))))
        for item in axial(*np.arange(0, 60, 2.5))
    ]
    (found,) = split(slices)
    assert len(found.slices) == len(slices)
    assert [item.uid for item in order(found.slices)] == [item.uid for item in slices]


def test_other_orientations_are_other_stacks():
    tipped = tuple(map(float, np.concatenate([rotation(0, 2)[:, 0], rotation(0, 2)[:, 1]])))
    slices = axial(0, 2, 4) + [at(n, (0.0, 0.0, float(n)), axes=tipped) for n in (10, 11)]
    assert sorted(len(stack.slices) for stack in split(slices)) == [2, 3]


@pytest.mark.parametrize(
    ("slices", "notes"),
    [
        (axial(0, 2, 4, 6), []),
        (
            axial(0, 2, 8, 10, 16, 18),
            [
                "4 slices are missing (spacing 2 mm): between 2 and 8 mm (after slice 2), "
                "10 and 16 mm (after slice 4)"
            ],
        ),
        (
            axial(0, 2, 2, 4, 4, 4, 6),
            ["3 slices share the position of another one (at 2, 4 mm)"],
        ),
        (
            axial(0, 2, 4.5, 6.5),
            ["uneven slice spacing: 2 to 2.5 mm, most of it 2 mm; widest after slice 2"],
        ),
        (
            [*axial(0, 2), at(2, (-10.0, 4.0, 4.0), pixel_spacing=(0.7, 0.7))],
            ["mixed pixel spacing: 0.5 x 0.5, 0.7 x 0.7 mm"],
        ),
        (
            [*axial(0, 2), at(2, (-10.0, 4.0, 4.0), thickness=5.0)],
            ["mixed slice thickness: 2, 5 mm"],
        ),
        (
            [*axial(0, 2), at(2, (-10.0, 4.0, 4.0), size=(16, 8))],
            ["mixed size: 8 x 8, 16 x 8 pixels"],
        ),
        (
            [*axial(0, 2), at(2, (), instance=3.0)],
            ["1 of 3 slices without a position; they are in order of their instance number"],
        ),
        (
            [*axial(0, 2), at(2, (-10.0, 4.0, 4.0), series="1.3")],
            ["the slices are of different series"],
        ),
        (axial(5, 5, 5), ["all 3 slices lie at one place: a loop over time, not a volume"]),
    ],
)
def test_odd_geometry_is_told_with_numbers(slices, notes):
    assert list(geometry_of(slices)[1]) == notes


@pytest.mark.parametrize("degrees", [0.0, 0.05, 5.0, -15.0])
def test_a_tilted_gantry_is_told_from_positions(degrees):
    slope = np.tan(np.deg2rad(degrees))
    slices = [at(n, (0.0, 2.5 * n * slope, 2.5 * n)) for n in range(20)]
    spacing, notes = geometry_of(slices)
    assert spacing == pytest.approx(2.5)
    if abs(degrees) < 0.1:
        assert notes == ()
    else:
        expected = f"the stack leans by {abs(degrees):g}° (gantry tilt): it is no upright volume"
        assert notes == (expected,)


def test_turned_slices_of_a_list_are_told():
    turned = tuple(map(float, np.concatenate([rotation(30, 0)[:, 0], rotation(30, 0)[:, 1]])))
    slices = [*axial(0, 2, 4), at(3, (-10.0, 4.0, 6.0), axes=turned)]
    assert "mixed orientation: 1 of 4 slices are turned by up to 30°" in geometry_of(slices)[1]


def test_hundreds_of_gaps_are_summed_up():
    (note,) = geometry_of(axial(*(n for n in range(300) if n % 5)))[1]
    assert note.startswith("59 slices are missing (spacing 1 mm): between 4 and 6 mm (after slice")
    assert note.endswith("and 54 more")
