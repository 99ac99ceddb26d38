"""Writes DICOM objects full of what identifies a patient, at every place where it is met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.99"
PIXELS = np.arange(64, dtype=np.int16).reshape(8, 8)

SECRETS = (
    "Mustermann",
    "Erika",
    "MRN-778899",
    "ACC55512",
    "Heidestrasse",
    "St. Elsewhere Hospital",
    "Dr. Feelgood",
    "Feelgood",
    "Quincy",
    "0301234567",
    "19640812",
    "20240229",
    "secret-serial-1",
    "private words",
    "Nested^Person",
    "LOSTROOM7",
    ROOT,
)


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def write_object(path: Path, *, number: int = 1, **elements: Any) -> Path:
    """A CT slice of Erika Mustermann; `elements` replace or add, None removes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.3.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.SourceApplicationEntityTitle = "LOSTROOM7"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"Mustermann".ljust(128, b"\0"))
    _identify(dataset, number)
    _nest(dataset)
    _hide(dataset)
    _picture(dataset)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _identify(dataset: Dataset, number: int) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{ROOT}.3.{number}"
    dataset.SeriesInstanceUID = f"{ROOT}.2"
    dataset.StudyInstanceUID = f"{ROOT}.1"
    dataset.FrameOfReferenceUID = f"{ROOT}.4"
    dataset.PatientName = "Mustermann^Erika"
    dataset.PatientID = "MRN-778899"
    dataset.PatientBirthDate = "19640812"
    dataset.PatientSex = "F"
    dataset.PatientAge = "059Y"
    dataset.PatientAddress = "Heidestrasse 17"
    dataset.PatientTelephoneNumbers = "0301234567"
    dataset.AccessionNumber = "ACC55512"
    dataset.InstitutionName = "St. Elsewhere Hospital"
    dataset.ReferringPhysicianName = "Feelgood^Dr."
    dataset.StudyDate = "20240229"
    dataset.StudyTime = "101500"
    dataset.SeriesDate = "20240229"
    dataset.AcquisitionDateTime = "20240229101501.5+0100"
    dataset.StudyDescription = "for Dr. Feelgood"
    dataset.BodyPartExamined = "CHEST"
    dataset.SeriesDescription = "CHEST"
    dataset.DeviceSerialNumber = "secret-serial-1"
    dataset.Manufacturer = "ACME"
    dataset.InstanceNumber = number


def _nest(dataset: Dataset) -> None:
    dataset.SourceImageSequence = [
        item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=f"{ROOT}.3.1")
    ]
    dataset.RequestAttributesSequence = [item(RequestedProcedureID="MRN-778899")]
    dataset.AnatomicRegionSequence = [
        item(
            CodeValue="51185008",
            CodingSchemeDesignator="SCT",
            CodeMeaning="Chest",
            PersonName="Nested^Person",
            ContentCreatorName="Quincy",
        )
    ]
    deep = item(ReferencedSOPInstanceUID=f"{ROOT}.3.1", OtherPatientIDs="MRN-778899")
    dataset.ReferencedImageSequence = [
        item(
            ReferencedSOPInstanceUID=f"{ROOT}.3.1",
            PurposeOfReferenceCodeSequence=[item(CodeValue="1", ReferencedImageSequence=[deep])],
        )
    ]


def _hide(dataset: Dataset) -> None:
    block = dataset.private_block(0x0099, "private words", create=True)
    block.add_new(0x01, "LO", "Mustermann")
    nested = dataset.AnatomicRegionSequence[0].private_block(0x0099, "private words", create=True)
    nested.add_new(0x01, "PN", "Mustermann^Erika")
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60003000, "OW", b"\x01" * 8)
    dataset.add_new(0x60004000, "LT", "private words")
    dataset.add_new(0x50000022, "LO", "private words")


def _picture(dataset: Dataset) -> None:
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows = dataset.Columns = 8
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope = "1"
    dataset.RescaleIntercept = "-1024"
    dataset.PixelSpacing = ["0.7", "0.7"]
    dataset.ImagePositionPatient = ["1", "2", "3"]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"
    dataset.PixelData = PIXELS.tobytes()
