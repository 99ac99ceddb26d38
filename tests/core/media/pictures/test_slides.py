"""Slides: DICOM whole-slide series by tiles, and what OpenSlide reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid
from skimage import data

from vlmtool_core.errors import MediaError, UnsupportedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.dicom.whole_slide import WHOLE_SLIDE
from vlmtool_core.media.tiles.openslide import OpenSlideLevels, open_slide, slide_source
from vlmtool_core.records import MediaKind

SIDE = 64
SERIES, FRAME_OF_REFERENCE = generate_uid(), generate_uid()


def levels() -> list[np.ndarray]:
    whole = data.astronaut()[:450, :390]
    return [whole, whole[::2, ::2], whole[::4, ::4]]


def tiles_of(level: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """(x, y, tile) from left to right and top to bottom, filled up to whole tiles with grey."""
    found = []
    for y in range(0, level.shape[0], SIDE):
        for x in range(0, level.shape[1], SIDE):
            tile = np.full((SIDE, SIDE, 3), 77, np.uint8)
            part = level[y : y + SIDE, x : x + SIDE]
            tile[: part.shape[0], : part.shape[1]] = part
            found.append((x, y, tile))
    return found


def jpeg(tile: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def write_level(
    path: Path,
    level: np.ndarray,
    *,
    sparse: bool = False,
    coded: bool = False,
    kind: str = "VOLUME",
    left_out: tuple[int, ...] = (),
) -> Path:
    """One file of a slide's series (PS3.3 A.32.8)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = WHOLE_SLIDE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if coded else ExplicitVRLittleEndian
    dataset: Any = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = WHOLE_SLIDE, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = SERIES, generate_uid()
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.Modality, dataset.PatientID = "SM", "P1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = level.shape[:2]
    tiles = [tile for n, tile in enumerate(tiles_of(level)) if n not in left_out]
    dataset.Rows = dataset.Columns = SIDE
    dataset.NumberOfFrames = len(tiles)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "YBR_FULL_422" if coded else "RGB"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    measures = Dataset()
    measures.PixelSpacing = [0.0005, 0.0005]
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.DimensionOrganizationType = "TILED_SPARSE" if sparse else "TILED_FULL"
    if sparse:
        tiles = tiles[::-1]
        dataset.PerFrameFunctionalGroupsSequence = [_place(x, y) for x, y, _ in tiles]
    if coded:
        dataset.PixelData = encapsulate([jpeg(tile) for _, _, tile in tiles])
    else:
        dataset.PixelData = b"".join(tile.tobytes() for _, _, tile in tiles)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _place(x: int, y: int) -> Dataset:
    place = Dataset()
    place.ColumnPositionInTotalImagePixelMatrix = x + 1
    place.RowPositionInTotalImagePixelMatrix = y + 1
    group = Dataset()
    group.PlanePositionSlideSequence = [place]
    return group


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_the_files_of_a_series_are_levels(tmp_path: Path, sparse: bool, coded: bool) -> None:
    for number, level in enumerate(levels()):
        name = f"{'bca'[number]}.dcm"
        write_level(tmp_path / name, level, sparse=sparse, coded=coded)
    write_level(tmp_path / "label.dcm", levels()[2], kind="LABEL")
    found = list(scan([tmp_path]))
    assert sorted(len(item.files) for item in found) == [0, 3]
    (slide,) = [item for item in found if item.files]
    with open_media(slide.path, slide.files) as source:
        assert source.info.kind is MediaKind.DICOM
        assert source.info.facts["tiled"] is True
        assert [(at.width, at.height) for at in source.levels()] == [
            (390, 450),
            (195, 225),
            (98, 113),
        ]
        assert source.spacing().row_mm == 0.0005
        for number, level in enumerate(levels()):
            height, width = level.shape[:2]
            part = source.region(number, 10, 20, width - 10, height - 20)
            most = 6 if coded else 0
            assert np.abs(part.astype(int) - level[20:, 10:]).max() <= most
        assert source.frame(max_side=100).pixels.shape == (100, 87, 3)


def test_ground_without_tiles_is_white(tmp_path: Path) -> None:
    level = levels()[1]
    path = write_level(tmp_path / "a.dcm", level, sparse=True, left_out=(0, 5))
    with open_media(path) as source:
        assert (source.region(0, 0, 0, 64, 64) == 255).all()
        assert np.array_equal(source.region(0, 64, 0, 64, 64), level[:64, 64:128])


def test_a_file_with_fewer_tiles_than_it_needs_is_damaged(tmp_path: Path) -> None:
    path = write_level(tmp_path / "a.dcm", levels()[1], left_out=(3,))
    with pytest.raises(MediaError, match="cannot be 4 x 4 tiles"):
        open_media(path)


def plain_pyramid(path: Path) -> np.ndarray:
    whole = np.asarray(Image.fromarray(data.astronaut()).resize((600, 500)))
    with tifffile.TiffWriter(path) as writer:
        for level in (whole, whole[::2, ::2]):
            writer.write(level, tile=(128, 128), photometric="rgb", compression="zlib")
    return whole


def test_parts_by_openslide_are_those_by_tifffile(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    whole = plain_pyramid(tmp_path / "a.tif")
    source = slide_source(tmp_path / "a.tif", OpenSlideLevels(tmp_path / "a.tif"), "plain")
    with source:
        assert (source.info.width, source.info.height) == (600, 500)
        assert np.array_equal(source.region(0, 100, 90, 333, 222), whole[90:312, 100:433])
        assert "OpenSlide" in source.frame(max_side=64).provenance["decoder"]
    assert open_slide(tmp_path / "a.tif") is None, "tifffile reads that by itself"


def test_without_openslide_its_slides_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openslide", None)
    plain_pyramid(tmp_path / "a.ndpi")
    with pytest.raises(UnsupportedMediaError, match="OpenSlide") as caught:
        open_slide(tmp_path / "a.ndpi")
    assert "slides" in caught.value.remedy
