"""A small good file of every kind, to be broken."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import tifffile
from coded_dicoms import write_coded
from media_clips import write_clip
from PIL import Image
from pydicom.data import get_testdata_file

from mutations.engine import (
    FINDERS,
    Finder,
    codestream_fields,
    dicom_fields,
    inner_fields,
    jpeg_fields,
    rle_fields,
)

SYNTAX = "1.2.840.10008.1.2"
# Real files of other makers, one for each transfer syntax that pydicom has a small one of.
_PYDICOM = {
    "implicit": ("rtdose.dcm", dicom_fields),
    "explicit": ("CT_small.dcm", dicom_fields),
    "colour": ("SC_rgb_small_odd.dcm", dicom_fields),
    "big-endian": ("rtdose_expb.dcm", dicom_fields),
    "deflated": ("image_dfl.dcm", dicom_fields),
    "4.50": ("SC_rgb_dcmtk_+eb+cy+s2.dcm", inner_fields(jpeg_fields, b"\xff\xd8\xff")),
    "4.51": ("JPGExtended.dcm", inner_fields(jpeg_fields, b"\xff\xd8\xff")),
    "4.70": ("SC_rgb_jpeg_gdcm.dcm", inner_fields(jpeg_fields, b"\xff\xd8\xff")),
    "4.80": ("MR_small_jpeg_ls_lossless.dcm", inner_fields(jpeg_fields, b"\xff\xd8\xff")),
    "4.81": ("JPEGLSNearLossless_16.dcm", inner_fields(jpeg_fields, b"\xff\xd8\xff")),
    "4.90": ("MR_small_jp2klossless.dcm", inner_fields(codestream_fields, b"\xff\x4f\xff\x51")),
    "4.91": ("JPEG2000.dcm", inner_fields(codestream_fields, b"\xff\x4f\xff\x51")),
    "5": ("rtdose_rle.dcm", inner_fields(rle_fields, b"\1\0\0\0\x40\0\0\0")),
}


@dataclass(frozen=True)
class Seed:
    """A good file, its name's end, and what finds the fields to break."""

    data: bytes
    suffix: str
    finder: Finder | None


def _picture(side: int = 40) -> Image.Image:
    generator = np.random.default_rng(0)
    small = generator.integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(small).resize((side + 8, side), Image.Resampling.BICUBIC)


def _by_pillow(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    _picture().save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _animated(kind: str) -> bytes:
    pictures = [_picture(), _picture().rotate(90), _picture().rotate(180)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def _tiff(folder: Path) -> bytes:
    """A page by Pillow's decoder, and a deep tiled one by tifffile's."""
    path = folder / "seed.tif"
    deep = np.asarray(_picture().convert("L")).astype(np.uint16) * 200
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.asarray(_picture()), compression="lzw", photometric="rgb")
        writer.write(deep, tile=(16, 16), compression="deflate")
    return path.read_bytes()


def _pdf(_folder: Path) -> bytes:
    buffer = io.BytesIO()
    pages = [_picture(), _picture().convert("L")]
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def _mp4(folder: Path) -> bytes:
    path = folder / "seed.mp4"
    return write_clip(path, 10, width=64, height=48, gop=5).read_bytes()


def _nifti(folder: Path) -> bytes:
    path = folder / "seed.nii"
    values = np.arange(10 * 8 * 4, dtype=np.int16).reshape(10, 8, 4)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path.read_bytes()


def _coded(folder: Path, number: str, encode: Callable[[np.ndarray], bytes]) -> bytes:
    ramp = np.add.outer(np.arange(40), 3 * np.arange(48)).astype(np.uint16) * 15
    stack = np.stack([ramp, ramp[::-1]])
    path = folder / "coded.dcm"
    parts = [encode(np.ascontiguousarray(values)) for values in stack]
    return write_coded(path, stack, f"{SYNTAX}.{number}", parts, bits_stored=12).read_bytes()


_PICTURES: Mapping[str, tuple[str, Callable[[Path], bytes]]] = {
    "jpeg": (".jpg", lambda _: _by_pillow("JPEG", quality=80, progressive=True)),
    "png": (".png", lambda _: _by_pillow("PNG", icc_profile=b"x" * 200)),
    "tiff": (".tif", _tiff),
    "webp": (".webp", lambda _: _animated("WEBP")),
    "mp4": (".mp4", _mp4),
    "pdf": (".pdf", _pdf),
    "gif": (".gif", lambda _: _animated("GIF")),
    "avif": (".avif", lambda _: _by_pillow("AVIF")),
    "nifti": (".nii", _nifti),
    "nifti-gz": (".nii.gz", lambda folder: gzip.compress(_nifti(folder), mtime=0)),
    "jpeg-2000": (".jp2", lambda _: _by_pillow("JPEG2000")),
}
_CODED: Mapping[str, tuple[Callable[[np.ndarray], bytes], Finder]] = {
    "4.57": (
        lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12),
        inner_fields(jpeg_fields, b"\xff\xd8\xff"),
    ),
    "4.110": (lambda values: imagecodecs.jpegxl_encode(values, lossless=True), dicom_fields),
    "4.201": (
        lambda values: imagecodecs.htj2k_encode(values, reversible=True),
        inner_fields(codestream_fields, b"\xff\x4f\xff\x51"),
    ),
}
KINDS = (*_PICTURES, *(f"dicom-{name}" for name in (*_PYDICOM, *_CODED)))


def seed_of(kind: str, folder: Path) -> Seed:
    """The good file of a kind; `folder` is for writers that need one."""
    if kind in _PICTURES:
        suffix, write = _PICTURES[kind]
        return Seed(write(folder), suffix, FINDERS.get(kind))
    name = kind.removeprefix("dicom-")
    if name in _CODED:
        encode, finder = _CODED[name]
        return Seed(_coded(folder, name, encode), ".dcm", finder)
    file, finder = _PYDICOM[name]
    return Seed(Path(str(get_testdata_file(file))).read_bytes(), ".dcm", finder)
