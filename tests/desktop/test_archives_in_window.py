"""A zip archive is dropped like a folder; series of one folder never show each other's pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from tests.desktop.conftest import Opened

from vlmtool_desktop.models.frame_reader import FrameReader

SHADES = {"B30f": 200, "B70f": 1200}


def write_two_kernels(folder: Path) -> Path:
    """One CT series of 2 x 3 slices in a zip archive: each kernel has a shade of its own."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    archive = folder / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for kernel, shade in SHADES.items():
            for place in range(3):
                dataset.SOPInstanceUID = generate_uid()
                dataset.ConvolutionKernel = kernel
                dataset.ImagePositionPatient = [0, 0, 5 * place]
                dataset.PixelData = np.full((128, 128), shade, np.int16).tobytes()
                dataset.save_as(folder / "slice.dcm")
                packed.write(folder / "slice.dcm", f"ct/{kernel}-{place}.dcm")
    return archive


def drop(opened: Opened, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    opened.window.dropEvent(
        QDropEvent(
            QPointF(10, 10),
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )


def test_a_dropped_archive_shows_each_of_its_series(on_project: Opened, tmp_path: Path) -> None:
    window = on_project.window
    before = window.library.model.rowCount()
    drop(on_project, write_two_kernels(tmp_path))
    on_project.wait(lambda: window.library.model.rowCount() == before + 2)
    found = on_project.stored(lambda p: {r.item: (r, r.item_id) for r in p.item_refs()})
    assert isinstance(found, dict)
    reader = FrameReader()
    for kernel, shade in SHADES.items():
        ref, item_id = found[f"study.zip/ct#1 (kernel {kernel})"]
        assert len(ref.files) == 3
        values = reader.load(ref, 0).values
        assert values is not None
        assert set(np.unique(values)) == {shade - 1024}
        window.session.set_item(item_id)
        on_project.wait(lambda item_id=item_id: on_project.shown() == item_id)
        shown = window.viewing.loaded
        assert shown is not None
        assert shown.values is not None
        assert set(np.unique(shown.values)) == {shade - 1024}
    reader.close()
    assert not on_project.errors
