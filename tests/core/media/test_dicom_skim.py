"""The quick look at a header says what the full reader says, or nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

from vlmtool_core.errors import MediaError
from vlmtool_core.media.dicom.header import read_header
from vlmtool_core.media.dicom.slices import Slice, skimmed_slice, slice_of


def fully(path: Path) -> Slice:
    header = read_header(path)
    assert header.keyword
    return slice_of(path, header.dataset)


def test_it_agrees_with_the_full_reader_on_every_example():
    quick = 0
    for path in sorted((Path(pydicom.__file__).parent / "data").rglob("*.dcm")):
        found = skimmed_slice(path)
        if found is not None:
            assert found == fully(path), path.name
            quick += 1
    assert quick > 50


@pytest.fixture
def ct() -> pydicom.Dataset:
    return pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))


def test_both_little_endian_codings_are_read(tmp_path, ct):
    ct.save_as(tmp_path / "explicit.dcm")
    ct.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ct.save_as(tmp_path / "implicit.dcm", implicit_vr=True, little_endian=True)
    for name in ("explicit.dcm", "implicit.dcm"):
        path = tmp_path / name
        found = skimmed_slice(path)
        assert found == fully(path)
        assert found.size == (128, 128)
        assert found.corner


@pytest.mark.parametrize("name", ["ExplVR_BigEnd.dcm", "image_dfl.dcm"])
def test_big_endian_and_deflated_are_left_to_the_full_reader(name):
    path = Path(str(get_testdata_file(name)))
    assert skimmed_slice(path) is None
    assert fully(path).size[0] > 0


def test_sequences_of_undefined_length_are_passed_over(tmp_path, ct):
    inner, outer = pydicom.Dataset(), pydicom.Dataset()
    inner.Rows = 7
    inner.is_undefined_length_sequence_item = True
    outer.ReferencedImageSequence = [inner]
    outer["ReferencedImageSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    ct.ReferencedImageSequence = [outer, outer]
    ct["ReferencedImageSequence"].is_undefined_length = True
    ct.save_as(tmp_path / "nested.dcm")
    found = skimmed_slice(tmp_path / "nested.dcm")
    assert found is not None
    assert found == fully(tmp_path / "nested.dcm")
    assert found.size == (128, 128)


def test_what_is_no_picture_is_left_to_the_full_reader(tmp_path):
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "text.dcm").write_bytes(b"DICM" * 100)
    for path in (tmp_path / "empty.dcm", tmp_path / "text.dcm", tmp_path / "missing.dcm"):
        assert skimmed_slice(path) is None
    for name in ("reportsi.dcm", "rtplan.dcm"):
        assert skimmed_slice(Path(str(get_testdata_file(name)))) is None


def test_damage_never_makes_it_say_something_else_than_the_full_reader(tmp_path, ct):
    ct.save_as(tmp_path / "whole.dcm")
    whole = (tmp_path / "whole.dcm").read_bytes()
    generator = random.Random(0)
    path = tmp_path / "damaged.dcm"
    answered = 0
    for _ in range(300):
        data = bytearray(whole[: generator.randrange(140, len(whole))])
        for _ in range(generator.randrange(4)):
            data[generator.randrange(132, min(len(data), 6000))] = generator.randrange(256)
        path.write_bytes(data)
        found = skimmed_slice(path)
        if found is None:
            continue
        try:
            expected = fully(path)
        except (MediaError, AssertionError):
            continue  # the full reader refuses it when the pixels are asked for
        answered += 1
        assert found == expected
    assert answered > 50
