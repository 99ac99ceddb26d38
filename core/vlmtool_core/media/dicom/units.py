"""The unit of modality values: what the header states, and HU where they are meant."""

from __future__ import annotations

from typing import Any

from vlmtool_core.media.dicom.header import number, text

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_UNSPECIFIED = ("US", "UNSPECIFIED", "")


def stated_unit(dataset: Any, rescale: Any, table: Any | None) -> str:
    """The unit that a header states, else "".

    rescale : the data set or functional group with the rescale elements; table : the item of the
    Modality LUT, which goes in their place
    """
    if table is not None:
        stated = text(table, "ModalityLUTType").upper()
    else:
        stated = text(rescale, "RescaleType").upper()
    if stated not in _UNSPECIFIED:
        return stated
    modality = text(dataset, "Modality").upper()
    if modality == "PT":
        return text(dataset, "Units").upper()
    if modality == "RTDOSE" and number(dataset, "DoseGridScaling"):
        return text(dataset, "DoseUnits").upper()
    return ""


def is_hounsfield(dataset: Any, rescale: Any) -> bool:
    """Whether rescaled values without a stated unit are HU: of CT that is no secondary capture.

    In CT the type of rescaling may be left out for HU alone (PS3.3 C.8.2.1). Originals whose type
    is "unspecified" are taken for HU, too; derived maps (perfusion, iodine) are not.
    """
    if text(dataset, "Modality").upper() != "CT" or number(rescale, "RescaleIntercept") is None:
        return False
    if text(dataset, "SOPClassUID").startswith(SECONDARY_CAPTURE):
        return False
    derived = text(dataset, "ImageType").upper().startswith("DERIVED")
    return not (derived and text(rescale, "RescaleType").upper() in ("US", "UNSPECIFIED"))
