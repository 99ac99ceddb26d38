"""Reads and checks a NIfTI-1 or NIfTI-2 header, before anything of the size it states is read.

The names of fields are those of nifti1.h and nifti2.h (nifti.nimh.nih.gov).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaNotFoundError,
    UnsupportedMediaError,
)
from vlmtool_core.media.base import Window
from vlmtool_core.media.budget import check_file, check_frames, check_pixels, current_budget
from vlmtool_core.media.volumes.nifti_affine import Placement, placement_of
from vlmtool_core.media.volumes.nifti_magic import (
    GZIP,
    first_bytes,
    header_file,
    inflated_head,
    nifti_version,
)
from vlmtool_core.records import Json

RGB24, RGBA32 = 128, 2304
# Deflate makes at most 1032 bytes of one (RFC 1951), so that what is larger cannot be whole.
MOST_INFLATED = 1032

_NUMBERS = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
    RGB24: "u1",
    RGBA32: "u1",
}
_REFUSED = {
    0: "unknown",
    1: "one bit per voxel",
    32: "complex64",
    1536: "float128",
    1792: "complex128",
    2048: "complex256",
}
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
_FREE_TEXTS = ("descrip", "aux_file", "db_name", "intent_name")


@dataclass(frozen=True)
class NiftiHeader:
    """What a header says, checked.

    data : the file that holds the voxels; compressed : whether it is gzip
    shape : (i, j, k, volumes); channels : 1, or 3 and 4 for RGB24 and RGBA32
    step_s : seconds between volumes, None when they are no times
    """

    data: Path
    compressed: bool
    version: int
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    channels: int
    offset: int
    slope: float
    inter: float
    placement: Placement
    step_s: float | None
    windows: tuple[Window, ...]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)
    identifying: Mapping[str, str] = field(default_factory=dict)

    @property
    def volume_bytes(self) -> int:
        return math.prod(self.shape[:3]) * self.channels * self.dtype.itemsize

    @property
    def data_bytes(self) -> int:
        return self.volume_bytes * self.shape[3]


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header of a .nii, .nii.gz, or of the .hdr of a pair.

    Of a pair, either file may be given.

    Raises
    ------
    MediaNotFoundError : the .img of a pair is not there
    DamagedMediaError : a field contradicts the format or the file; it is named
    UnsupportedMediaError : values of a kind that cannot be shown
    BudgetExceededError : it asks for more than the settings allow
    """
    path = header_file(path)
    check_file(path)
    head = inflated_head(first_bytes(path))
    fields, version = _fields(head, path)
    data, single = _data_file(path, fields, version)
    dtype, channels = _dtype(fields, path)
    shape = _shape(fields, path)
    offset = _offset(fields, path, single=single, least=352 if version == 1 else 544)
    slope, inter, notes = _scaling(fields, channels)
    placement = placement_of(fields, path)
    step = _SECONDS.get(int(fields["xyzt_units"]) & 0x38)
    period = float(fields["pixdim"][4]) * step if step and shape[3] > 1 else 0.0
    found = NiftiHeader(
        data,
        first_bytes(data).startswith(GZIP),
        version,
        shape,
        dtype,
        channels,
        offset,
        slope,
        inter,
        placement,
        period if period > 0 and math.isfinite(period) else None,
        _windows(fields) if channels == 1 else (),
        (*notes, *placement.notes),
        _facts(fields, version, shape, placement),
        {name: text for name in _FREE_TEXTS if (text := _text(fields, name))},
    )
    _check_size(found, path)
    return found


def _fields(head: bytes, path: Path) -> tuple[Any, int]:
    import nibabel

    version = nifti_version(head)
    length = {1: 348, 2: 540}.get(version, 0)
    if not version or len(head) < length:
        raise DamagedMediaError("the NIfTI header is not complete", path=path, field="magic")
    order = "<" if head[:4] == length.to_bytes(4, "little") else ">"
    kind: Any = nibabel.nifti1.Nifti1Header if version == 1 else nibabel.nifti2.Nifti2Header
    return kind(head[:length], endianness=order, check=False), version


def _data_file(path: Path, fields: Any, version: int) -> tuple[Path, bool]:
    """The file with the voxels, and whether it is the one that has the header."""
    magic = bytes(fields.structarr["magic"].tobytes())
    if magic.startswith(b"n+"):
        return path, True
    name = path.name
    stem = name[: -len(".hdr.gz")] if name.lower().endswith(".gz") else path.stem
    for suffix in (".img", ".img.gz", ".IMG"):
        candidate = path.with_name(stem + suffix)
        if candidate.exists():
            check_file(candidate)
            return candidate, False
    raise MediaNotFoundError(
        f"the header of a NIfTI-{version} pair without its {stem}.img",
        path=path,
        remedy=f"Put {stem}.img into the same folder.",
        field="magic",
    )


def _dtype(fields: Any, path: Path) -> tuple[np.dtype[Any], int]:
    code = int(fields["datatype"])
    if code in _REFUSED:
        raise UnsupportedMediaError(
            f"values of datatype {code} ({_REFUSED[code]}) cannot be shown",
            path=path,
            field="datatype",
            remedy="Save it as integers or floats, complex values as their magnitude.",
        )
    if code not in _NUMBERS:
        raise DamagedMediaError(f"datatype {code} is none of NIfTI", path=path, field="datatype")
    channels = {RGB24: 3, RGBA32: 4}.get(code, 1)
    dtype = np.dtype(_NUMBERS[code]).newbyteorder(fields.endianness)
    bits = int(fields["bitpix"])
    if bits not in (0, 8 * dtype.itemsize * channels):
        raise DamagedMediaError(
            f"bitpix is {bits}, datatype {code} has {8 * dtype.itemsize * channels} bits",
            path=path,
            field="bitpix",
        )
    return dtype, channels


def _shape(fields: Any, path: Path) -> tuple[int, int, int, int]:
    dims = [int(value) for value in fields["dim"]]
    count = dims[0]
    if not 1 <= count <= 7:
        raise DamagedMediaError(f"dim[0] is {count}, not 1 to 7", path=path, field="dim")
    sizes = dims[1 : count + 1]
    for number, size in enumerate(sizes, 1):
        if size < 1:
            raise DamagedMediaError(f"dim[{number}] is {size}", path=path, field="dim")
    if count < 2:
        raise UnsupportedMediaError("a single row of values is no picture", path=path, field="dim")
    padded = (*sizes, *([1] * (7 - count)))
    return padded[0], padded[1], padded[2], math.prod(padded[3:])


def _offset(fields: Any, path: Path, *, single: bool, least: int) -> int:
    value = float(fields["vox_offset"])
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise DamagedMediaError(f"vox_offset is {value:g}", path=path, field="vox_offset")
    if single and value < least:
        # Some writers leave it 0, which can only mean: right behind the header.
        if value != 0:
            raise DamagedMediaError(
                f"vox_offset is {value:g}, which lies in the header",
                path=path,
                field="vox_offset",
            )
        return least
    return int(value)


def _scaling(fields: Any, channels: int) -> tuple[float, float, tuple[str, ...]]:
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if channels > 1 or slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0, ()
    if not math.isfinite(inter):
        return slope, 0.0, (f"scl_inter is {inter:g} and was taken as 0",)
    return slope, inter, ()


def _windows(fields: Any) -> tuple[Window, ...]:
    low, high = float(fields["cal_min"]), float(fields["cal_max"])
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return ()
    return (Window((low + high) / 2, high - low, "cal_min to cal_max", "LINEAR_EXACT"),)


def _facts(
    fields: Any, version: int, shape: tuple[int, int, int, int], placement: Placement
) -> dict[str, Json]:
    from nibabel.nifti1 import data_type_codes, intent_codes

    facts: dict[str, Json] = {
        "format": f"NIfTI-{version}",
        "datatype": str(data_type_codes.label[int(fields["datatype"])]),
        "voxels": list(shape[:3]),
        "voxel_size_mm": [round(size, 6) for size in placement.voxel_mm],
        "orientation_from": placement.source,
    }
    if shape[3] > 1:
        facts["volumes"] = shape[3]
    intent = int(fields["intent_code"])
    if intent:
        known = intent in intent_codes.label
        facts["intent"] = str(intent_codes.label[intent]) if known else f"code {intent}"
    return facts


def _text(fields: Any, name: str) -> str:
    if name not in fields.structarr.dtype.names:
        return ""  # NIfTI-2 has no db_name
    raw: bytes = fields[name].tobytes()
    return raw.split(b"\0", 1)[0].decode("latin-1").strip()


def _check_size(header: NiftiHeader, path: Path) -> None:
    """Refuse what is larger than allowed, or than its file can hold, before it is read."""
    across, down, through, volumes = header.shape
    for width, height in ((across, down), (across, through), (down, through)):
        check_pixels(path, width, height)
    check_frames(path, max(across, down, through))
    check_frames(path, through * volumes)
    needed = header.offset + header.data_bytes
    limit = current_budget().max_file_bytes
    if needed > limit:
        raise BudgetExceededError(
            f"the header states {needed / 1e6:.0f} MB of voxels, the limit max_file_mb is "
            f"{limit / 1e6:.0f} MB",
            path=path,
            field="max_file_mb",
        )
    there = header.data.stat().st_size * (MOST_INFLATED if header.compressed else 1)
    if needed > there:
        raise DamagedMediaError(
            f"the header states {needed} bytes, the file can hold {there} at most: it is truncated",
            path=header.data,
            field="dim",
        )
