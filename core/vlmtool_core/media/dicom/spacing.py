"""How many millimetres a pixel of a DICOM picture is, and on whose word."""

from __future__ import annotations

from typing import Any

from vlmtool_core.media.base import PixelSpacing
from vlmtool_core.media.dicom.functional_groups import functional_group
from vlmtool_core.media.dicom.header import number, numbers, text

# Projections: what lies nearer to the tube is larger on the detector.
PROJECTIONS = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "XA"})
_CENTIMETRES = 3  # PhysicalUnitsXDirection, PS3.3 C.8.5.5.1.15


def pixel_spacing(dataset: Any, index: int = 0) -> PixelSpacing | None:
    """The spacing of frame `index`; None when the header does not say, so that nothing may be
    measured in millimetres.

    The order is that of PS3.3 10.7.1: PixelSpacing, the detector's spacing (without its
    magnification where that is known), the scanner's, an ultrasound region's.
    """
    measures = functional_group(dataset, index, "PixelMeasuresSequence")
    stated = _pair(dataset if measures is None else measures, "PixelSpacing")
    detector = _pair(dataset, "ImagerPixelSpacing")
    modality = text(dataset, "Modality").upper()
    if stated is not None:
        meaning, calibrated = _meaning(dataset, stated, detector, modality)
        return PixelSpacing(*stated, meaning, modality in PROJECTIONS and not calibrated)
    if detector is not None and modality in PROJECTIONS:
        return _of_detector(dataset, detector)
    scanned = _pair(dataset, "NominalScannedPixelSpacing")
    if scanned is not None:
        return PixelSpacing(*scanned, "scanner")
    return _of_ultrasound(dataset)


def _pair(dataset: Any, keyword: str) -> tuple[float, float] | None:
    values = numbers(dataset, keyword)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _meaning(
    dataset: Any,
    stated: tuple[float, float],
    detector: tuple[float, float] | None,
    modality: str,
) -> tuple[str, bool]:
    """In words, and whether somebody has calibrated it."""
    calibration = text(dataset, "PixelSpacingCalibrationType").upper()
    if calibration in ("GEOMETRY", "FIDUCIAL"):
        return f"PixelSpacing, calibrated by {calibration.lower()}", True
    # Equal values state the detector once more: nobody has calibrated anything.
    if modality in PROJECTIONS and stated == detector:
        return "at the detector", False
    return "PixelSpacing", False


def _of_detector(dataset: Any, detector: tuple[float, float]) -> PixelSpacing:
    factor = number(dataset, "EstimatedRadiographicMagnificationFactor")
    to_detector = number(dataset, "DistanceSourceToDetector")
    to_patient = number(dataset, "DistanceSourceToPatient")
    if factor is None and to_detector and to_patient:
        factor = to_detector / to_patient
    if factor is None or factor < 1:
        return PixelSpacing(*detector, "at the detector", projected=True)
    row, column = (value / factor for value in detector)
    return PixelSpacing(row, column, "detector, magnification removed", projected=True)


def _of_ultrasound(dataset: Any) -> PixelSpacing | None:
    regions: list[Any] = list(dataset.get("SequenceOfUltrasoundRegions") or ())
    if len(regions) != 1:  # several regions may have different scales
        return None
    region = regions[0]
    units = {int(number(region, f"PhysicalUnits{axis}Direction") or 0) for axis in "XY"}
    across, down = (abs(number(region, f"PhysicalDelta{axis}") or 0.0) for axis in "XY")
    if units != {_CENTIMETRES} or not across or not down:
        return None
    return PixelSpacing(10 * down, 10 * across, "ultrasound region")
