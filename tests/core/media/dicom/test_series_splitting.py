"""One series becomes one stack per kernel, echo, b-value, time and so on, as in a viewer."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_dicoms import SERIES, write_dicom

from vlmtool_core.media import open_media, scan
from vlmtool_core.records import MediaKind

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]
PLACES = (0.0, 2.5, 5.0)


def write_slice(folder: Path, name: str, place: float, **elements: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "Modality": "MR",
        "ImageOrientationPatient": AXIAL,
        "ImagePositionPatient": [-5, 3, place],
        "SpecificCharacterSet": "ISO_IR 192",
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        **elements,
    }
    return write_dicom(folder / name, np.full((4, 4), int(place), np.int16), **values)


def write_volumes(folder: Path, *volumes: dict[str, Any], places: tuple[float, ...] = PLACES):
    """Slices of several volumes with their files mixed, as scanners write them."""
    number = 0
    for place in places:
        for elements in volumes:
            number += 1
            given = {"InstanceNumber": number, **elements}
            write_slice(folder, f"IM{number:03d}", place, **given)


def found(folder: Path) -> dict[str, int]:
    return {item.name: len(item.files) or 1 for item in scan([folder])}


@pytest.mark.parametrize(
    ("volumes", "labels"),
    [
        (
            [{"Modality": "CT", "ConvolutionKernel": k} for k in ("B30f", "B70f")],
            ["kernel B30f", "kernel B70f"],
        ),
        (
            [{"Modality": "CT", "ContrastBolusAgent": agent} for agent in (None, "造影剂 350")],
            ["with contrast", "without contrast"],
        ),
        (
            [{"Modality": "CT", "GantryDetectorTilt": tilt} for tilt in (0, 12.5)],
            ["tilt 0", "tilt 12.5"],
        ),
        ([{"EchoTime": te} for te in (12.3, 90)], ["TE 12.3", "TE 90"]),
        ([{"RepetitionTime": tr} for tr in (500, 4000)], ["TR 500", "TR 4000"]),
        ([{"FlipAngle": flip} for flip in (5, 15)], ["flip 5", "flip 15"]),
        ([{"InversionTime": ti} for ti in (150, 900)], ["TI 150", "TI 900"]),
        (
            [{"ScanningSequence": kind} for kind in ("SE", ["GR", "IR"])],
            ["sequence GR IR", "sequence SE"],
        ),
        ([{"SequenceVariant": kind} for kind in ("SK", "SP")], ["variant SK", "variant SP"]),
        ([{"ScanOptions": kind} for kind in ("FS", "PFP")], ["options FS", "options PFP"]),
        ([{"DiffusionBValue": float(b)} for b in (0, 1000)], ["b 0", "b 1000"]),
        (
            [{"ImageType": ["ORIGINAL", "PRIMARY", kind]} for kind in ("M", "P")],
            ["M", "P"],
        ),
        (
            [{"FrameOfReferenceUID": f"{SERIES}.{n}"} for n in (1, 2)],
            ["frame of reference 1", "frame of reference 2"],
        ),
        (
            [{"StudyInstanceUID": f"{SERIES}.{n}"} for n in (1, 2)],
            ["study 1", "study 2"],
        ),
        ([{"TemporalPositionIdentifier": n} for n in (1, 2)], ["time 1", "time 2"]),
        ([{"TriggerTime": t} for t in (40, 610)], ["trigger 40", "trigger 610"]),
        (
            [{"NominalPercentageOfCardiacPhase": p, "Modality": "CT"} for p in (40.0, 75.0)],
            ["phase 40", "phase 75"],
        ),
        ([{"AcquisitionNumber": n} for n in (1, 2)], ["acquisition 1", "acquisition 2"]),
        (
            [{"FrameReferenceTime": t, "Modality": "PT"} for t in (30000, 90000)],
            ["time 1", "time 2"],
        ),
        ([{"AcquisitionTime": t} for t in ("101500", "101630.5")], ["time 1", "time 2"]),
        ([{}, {}, {}], ["repeat 1", "repeat 2", "repeat 3"]),
        (
            [
                {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": direction}
                for direction in ([1.0, 0, 0], [0, 1.0, 0])
            ],
            ["direction 1", "direction 2"],
        ),
    ],
)
def test_every_rule_gives_volumes_that_tell_why(
    tmp_path: Path, volumes: list[dict[str, Any]], labels: list[str]
) -> None:
    volumes = [{k: v for k, v in each.items() if v is not None} for each in volumes]
    write_volumes(tmp_path / "study", *volumes)
    items = list(scan([tmp_path]))
    assert sorted(item.name for item in items) == sorted(f"study#1 ({label})" for label in labels)
    for item in items:
        assert item.kind is MediaKind.DICOM
        with open_media(item.path, item.files) as source:
            assert source.info.facts["slice_spacing_mm"] == pytest.approx(2.5)
            assert source.info.warnings == ()
            assert [source.stored_values(n)[0, 0] for n in range(3)] == [0, 2, 5]


def _element(dataset: Any, group: int, creator: str, element: int, vr: str, value: Any) -> None:
    dataset.private_block(group, creator, create=True).add_new(element, vr, value)


SIEMENS: Callable[[Any, int], None] = lambda d, b: _element(  # noqa: E731
    d, 0x0019, "SIEMENS MR HEADER", 0x0C, "IS", str(b)
)
GE: Callable[[Any, int], None] = lambda d, b: _element(  # noqa: E731
    d, 0x0043, "GEMS_PARM_01", 0x39, "IS", [1_000_000_000 + b, 8, 0, 0]
)
PHILIPS: Callable[[Any, int], None] = lambda d, b: _element(  # noqa: E731
    d, 0x2001, "Philips Imaging DD 001", 0x03, "FL", float(b)
)
STRANGER: Callable[[Any, int], None] = lambda d, b: _element(  # noqa: E731
    d, 0x0019, "SOMEBODY ELSE", 0x0C, "IS", str(b)
)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("write", "names"),
    [
        (SIEMENS, ["b 0", "b 800"]),
        (GE, ["b 0", "b 800"]),
        (PHILIPS, ["b 0", "b 800"]),
        (STRANGER, ["repeat 1", "repeat 2"]),
    ],
)
def test_b_values_of_vendors_count_under_their_own_name_only(
    tmp_path: Path, write: Callable[[Any, int], None], names: list[str], implicit: bool
) -> None:
    import pydicom
    from pydicom.uid import ImplicitVRLittleEndian

    write_volumes(tmp_path / "dwi", {"EchoTime": 70}, {"EchoTime": 70})
    for count, path in enumerate(sorted((tmp_path / "dwi").iterdir())):
        dataset = pydicom.dcmread(path)
        write(dataset, 800 * (count % 2))
        if implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    assert found(tmp_path) == {f"dwi#1 ({name})": 3 for name in names}


def test_several_reasons_are_told_together(tmp_path: Path) -> None:
    volumes = [{"DiffusionBValue": float(b), "EchoTime": te} for b in (0, 1000) for te in (60, 90)]
    write_volumes(tmp_path / "dwi", *volumes)
    assert found(tmp_path) == {f"dwi#1 (TE {te}, b {b})": 3 for te in (60, 90) for b in (0, 1000)}


def test_localizers_stand_apart_from_slices(tmp_path: Path) -> None:
    for place in PLACES:
        write_slice(tmp_path, f"a{place}", place, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_slice(tmp_path, "scout1", 0, **scout)
    write_slice(tmp_path, "scout2", 0, ImageOrientationPatient=CORONAL, **scout)
    assert found(tmp_path) == {f"{tmp_path.name}#1 (AXIAL)": 3, "scout1": 1, "scout2": 1}


def test_names_stay_as_they_are_where_nothing_is_split(tmp_path: Path) -> None:
    """The name of one series does not depend on whether another one is split."""
    folder = tmp_path / "study"
    for count, kernels in enumerate((["A"], ["A", "B"], ["A"])):
        for place in PLACES:
            for kernel in kernels:
                write_slice(
                    folder,
                    f"{count}-{place}-{kernel}",
                    place,
                    Modality="CT",
                    SeriesInstanceUID=f"{SERIES}.{count}",
                    ConvolutionKernel=kernel,
                )
    assert found(tmp_path) == {
        "study#1": 3,
        "study#2 (kernel A)": 3,
        "study#2 (kernel B)": 3,
        "study#3": 3,
    }


def test_what_varies_along_a_stack_does_not_tear_it_apart(tmp_path: Path) -> None:
    """Trigger, repetition time and tilt of every slice, and UIDs that a bad export made new."""
    for count in range(6):
        write_slice(
            tmp_path / "mr",
            f"{count}",
            count * 3.0,
            TriggerTime=100 + count,
            RepetitionTime=900 + 10 * count,
            AcquisitionTime=f"1015{count:02d}",
            FrameOfReferenceUID=f"{SERIES}.{count}",
            InstanceNumber=count,
        )
    assert found(tmp_path) == {"mr": 6}


def test_a_loop_at_one_place_stays_whole(tmp_path: Path) -> None:
    for count in range(5):
        write_slice(tmp_path / "cine", f"{9 - count}", 7, TriggerTime=40 * count, EchoTime=2)
    assert found(tmp_path) == {"cine": 5}
    (item,) = scan([tmp_path])
    assert [path.name for path in item.files] == ["9", "8", "7", "6", "5"]
    with open_media(item.path, item.files) as source:
        (warning,) = source.info.warnings
    assert warning == "all 5 slices lie at one place: a loop over time, not a volume"


def test_copies_of_one_object_are_no_repeats(tmp_path: Path) -> None:
    for place in PLACES:
        path = write_slice(tmp_path / "ct", f"{place}", place)
        (tmp_path / "ct" / f"copy of {place}").write_bytes(path.read_bytes())
    assert found(tmp_path) == {"ct": 6}


def test_a_dynamic_scan_that_was_broken_off_keeps_its_whole_volumes(tmp_path: Path) -> None:
    write_volumes(tmp_path / "dce", *({"TemporalPositionIdentifier": n} for n in (1, 2, 3)))
    write_slice(tmp_path / "dce", "last", 0, TemporalPositionIdentifier=4)
    names = found(tmp_path)
    assert [names[f"dce#1 (time {n})"] for n in (1, 2, 3)] == [3, 3, 3]
    assert names["dce/last"] == 1


def test_multi_frame_objects_stand_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_dicom(tmp_path / name, np.zeros((3, 4, 4), np.uint8), Modality="MR")
    assert found(tmp_path) == {"a": 1, "b": 1}


@pytest.mark.parametrize("kernel", ["../../etc", "a/b\\c", "x" * 64, "B\x1b[31m", "%s{}"])
def test_a_label_is_plain_whatever_the_header_says(tmp_path: Path, kernel: str) -> None:
    write_volumes(
        tmp_path / "ct",
        {"Modality": "CT", "ConvolutionKernel": "OK"},
        {"Modality": "CT", "ConvolutionKernel": kernel},
    )
    for name in found(tmp_path):
        label = name.removeprefix("ct#1 (").removesuffix(")")
        assert label.isascii()
        assert len(label) <= 60
        assert not set(label) & set('/\\:*?"<>|\x1b%{}')


def test_a_binary_float_is_no_text(tmp_path: Path) -> None:
    from vlmtool_core.media.dicom.slices import _first_number

    assert _first_number(struct.pack("<f", 800.0)) == 800.0
    assert _first_number(b"1000") == 1000.0
    assert _first_number(b"800 \\8\\0") == 800.0
    assert _first_number(struct.pack("<f", float("nan"))) is None
    assert _first_number(b"") is None
