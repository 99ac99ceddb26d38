"""Standardised uptake values by body weight, or the reason why a PET series has none."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.dicom.header import number, text

_REMEDY = "Show activity concentration instead, or export the series with this element."
_DAY = timedelta(days=1)


def suv_factor(dataset: Any) -> float:
    """What modality values in Bq/ml are multiplied by to become SUVbw in g/ml.

    SUVbw = concentration x weight / (injected activity, decayed to the reference time); the
    reference time of decay correction START is that of the series, of ADMIN the injection
    (PS3.3 C.8.9.1.1.5; QIBA's vendor-neutral procedure).

    Raises
    ------
    UnsupportedMediaError : names the element that is missing or does not allow it
    """
    if text(dataset, "Modality").upper() != "PT":
        raise _refusal("Modality", "SUV is defined for PET only")
    if text(dataset, "Units").upper() != "BQML":
        raise _refusal("Units", "the values are no activity concentration (BQML)")
    corrections = text(dataset, "CorrectedImage").upper()
    for needed in ("ATTN", "DECY"):
        if needed not in corrections:
            raise _refusal("CorrectedImage", f"the values are not corrected for {needed}")
    weight_g = 1000 * _positive(dataset, "PatientWeight")
    injections: list[Any] = list(dataset.get("RadiopharmaceuticalInformationSequence") or ())
    if len(injections) != 1:
        raise _refusal(
            "RadiopharmaceuticalInformationSequence", f"{len(injections)} injections are stated"
        )
    dose_bq = _positive(injections[0], "RadionuclideTotalDose")
    return weight_g / (dose_bq * _remaining(dataset, injections[0]))


def _remaining(dataset: Any, injection: Any) -> float:
    """Part of the injected activity that is left at the reference time of the values."""
    correction = text(dataset, "DecayCorrection").upper()
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise _refusal("DecayCorrection", f"expected START or ADMIN, got {correction or 'none'}")
    half_life_s = _positive(injection, "RadionuclideHalfLife")
    series = _moment(dataset, "SeriesDate", "SeriesTime")
    acquired = _moment(dataset, "AcquisitionDate", "AcquisitionTime")
    # A series that was sent anew has the time of that: its scan began at another, unknown one.
    if series > acquired:
        raise _refusal("SeriesTime", "the series is dated after its own acquisition")
    elapsed = series - _injected(injection, series)
    if not timedelta(0) <= elapsed < _DAY:
        raise _refusal("RadiopharmaceuticalStartTime", "the injection is not before the scan")
    return float(2.0 ** (-elapsed.total_seconds() / half_life_s))


def _injected(injection: Any, series: datetime) -> datetime:
    stated = text(injection, "RadiopharmaceuticalStartDateTime")
    if stated:
        return _parse(stated[:14], "%Y%m%d%H%M%S", "RadiopharmaceuticalStartDateTime")
    time = text(injection, "RadiopharmaceuticalStartTime")
    if not time:
        raise _refusal("RadiopharmaceuticalStartTime", "it is missing")
    moment = _parse(f"{series:%Y%m%d}{time[:6]}", "%Y%m%d%H%M%S", "RadiopharmaceuticalStartTime")
    return moment if moment <= series else moment - _DAY  # injected before midnight


def _moment(dataset: Any, date: str, time: str) -> datetime:
    for keyword in (date, time):
        if not text(dataset, keyword):
            raise _refusal(keyword, "it is missing")
    return _parse(text(dataset, date) + text(dataset, time)[:6], "%Y%m%d%H%M%S", time)


def _parse(value: str, pattern: str, keyword: str) -> datetime:
    try:
        return datetime.strptime(value, pattern)
    except ValueError as error:
        raise _refusal(keyword, "it is no valid time") from error


def _positive(dataset: Any, keyword: str) -> float:
    value = number(dataset, keyword)
    if value is None or value <= 0:
        raise _refusal(keyword, "it is missing or not positive")
    return value


def _refusal(keyword: str, why: str) -> UnsupportedMediaError:
    return UnsupportedMediaError(f"no SUV: {why}", field=keyword, remedy=_REMEDY)
