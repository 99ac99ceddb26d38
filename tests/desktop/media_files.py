"""Real files for the tests of the window, drawn and written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

COLOURS = (
    (200, 60, 60),
    (60, 180, 75),
    (70, 90, 220),
    (240, 200, 40),
    (150, 60, 180),
    (60, 190, 200),
)


def picture(index: int, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """uint8 (h, w, 3): a coloured disc on grey, different for each index."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    pixels = np.full((height, width, 3), 90 + index % 40, np.uint8)
    disc = (x - width * 0.5) ** 2 + (y - height * 0.5) ** 2 < (height * (0.2 + 0.02 * index)) ** 2
    pixels[disc] = COLOURS[index % len(COLOURS)]
    return pixels


def write_pictures(folder: Path, count: int, *, size: tuple[int, int] = (160, 120)) -> list[Path]:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"picture{number}.png" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        Image.fromarray(picture(number, size)).save(path)
    return paths


def write_series(
    folder: Path,
    slices: int = 5,
    *,
    base: np.ndarray | None = None,
    window: tuple[int, int] = (0, 2000),
) -> Path:
    """A CT series of HU + 1000 in int16.

    base : (slices, side, side), else `slices` ramps, each with a brighter square
    window : centre and width that the files name
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    if base is None:
        base = np.stack([_ramp(number) for number in range(slices)])
    side = base.shape[1]
    study, series = generate_uid(), generate_uid()
    for number, values in enumerate(base):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.Modality, data.PatientID = "CT", "P1"
        data.InstanceNumber = number + 1
        data.ImagePositionPatient = [0.0, 0.0, 2.0 * number]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.Rows = data.Columns = side
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.RescaleSlope, data.RescaleIntercept = "1", "-1000"
        data.WindowCenter, data.WindowWidth = (str(part) for part in window)
        data.PixelSpacing = [1, 1]
        data.PixelData = values.astype(np.int16).tobytes()
        data.save_as(folder / f"slice{number}.dcm", enforce_file_format=True)
    return folder


def _ramp(number: int) -> np.ndarray:
    values = np.tile(np.linspace(0, 2000, 64), (64, 1)).astype(np.int16)
    values[10 : 20 + number, 10:20] = 1500
    return values


def write_video(path: Path, frames: int = 20) -> Path:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number % 8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
