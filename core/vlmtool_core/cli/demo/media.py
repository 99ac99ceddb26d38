"""The pictures of the demo: what installed packages carry, laid into a folder of plain files."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.errors import MissingDependencyError
from vlmtool_core.paths import write_atomically

# scikit-image carries these in its wheel; the others of its collection are downloads.
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "page.png", "rocket.jpg", "text.png")
DICOM_OBJECTS = ("CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm", "examples_palette.dcm")
DIGITS_PER_CLASS = 30
DIGIT_SIDE = 96
DIGIT_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True)
class DemoMedia:
    """Where the demo's pictures are.

    labels_csv : path and label of the digits that the demo labels
    """

    folder: Path
    photographs: Path
    digits: Path
    labels_csv: Path


def lay_out(folder: Path) -> DemoMedia:
    """Copy photographs and DICOM, and write scikit-learn's digits as pictures, into `folder`.

    Raises
    ------
    MissingDependencyError : a package that carries the pictures is not installed.
    """
    photographs, dicom, digits = (folder / name for name in ("photographs", "dicom", "digits"))
    for subfolder in (photographs, dicom, digits):
        subfolder.mkdir(parents=True, exist_ok=True)
    try:
        _copy_photographs(photographs)
        _copy_dicom(dicom)
        rows = _write_digits(digits)
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name} is not installed; it carries the demo's pictures",
            remedy="Run: pip install 'vlmtool[demo]'",
        ) from error
    labels_csv = folder / "labels.csv"
    write_atomically(labels_csv, _as_csv(rows).encode())
    return DemoMedia(folder, photographs, digits, labels_csv)


def _copy_photographs(target: Path) -> None:
    import skimage.data

    source = Path(skimage.data.__file__).parent
    for name in PHOTOGRAPHS:
        shutil.copyfile(source / name, target / name)


def _copy_dicom(target: Path) -> None:
    from pydicom.data import get_testdata_file

    for name in DICOM_OBJECTS:
        found = get_testdata_file(name, download=False)
        if found is None:
            raise ImportError(f"no {name} in pydicom", name="pydicom")
        shutil.copyfile(str(found), target / name)


def _write_digits(target: Path) -> list[tuple[str, str]]:
    """Write `DIGITS_PER_CLASS` handwritten digits of each kind; returns (path, label) rows."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    collection = load_digits()
    rows = []
    for digit, name in enumerate(DIGIT_NAMES):
        chosen = np.flatnonzero(collection.target == digit)[:DIGITS_PER_CLASS]
        for number, index in enumerate(chosen):
            ink = (255 - collection.images[index] * (255 / 16)).astype(np.uint8)
            path = target / f"{index:04d}.png"
            image = Image.fromarray(ink).resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BICUBIC)
            image.convert("RGB").save(path)
            rows.append((number, f"{target.name}/{path.name}", name))
    return [(path, name) for _, path, name in sorted(rows)]


def _as_csv(rows: list[tuple[str, str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("path", "label"))
    writer.writerows(rows)
    return buffer.getvalue()
