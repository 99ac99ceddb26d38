"""The table, the rules by value representation, and the stand-ins."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.uid import UID

from vlmtool_core.api import FormatError
from vlmtool_medical.deidentify.identity import Identity, load_identity, shift_date
from vlmtool_medical.deidentify.profile import Action, load_profile

PROFILE = load_profile()
KEYWORDS = {entry[4]: entry[0] for entry in DicomDictionary.values() if entry[4]}


def decide(keyword: str, value: object = None) -> Action:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    vr = KEYWORDS[keyword].split(" or ")[0]
    if vr == "SQ":
        value = []
    return PROFILE.decide(DataElement(tag, vr, value)).action


def test_the_table_names_only_attributes_that_exist() -> None:
    assert set(PROFILE.codes) <= set(KEYWORDS)
    assert PROFILE.kept_text <= set(KEYWORDS)
    assert PROFILE.kept_binary <= set(KEYWORDS)
    assert PROFILE.characteristics <= set(KEYWORDS)
    assert len(PROFILE.codes) > 400
    assert not PROFILE.kept_text & set(PROFILE.codes)


@pytest.mark.parametrize(
    ("keyword", "action"),
    [
        ("PatientName", Action.DUMMY),
        ("PatientID", Action.DUMMY),
        ("PatientBirthDate", Action.EMPTY),
        ("PatientBirthTime", Action.REMOVE),
        ("PatientAddress", Action.REMOVE),
        ("AccessionNumber", Action.EMPTY),
        ("InstitutionName", Action.DUMMY),
        ("StudyDescription", Action.REMOVE),
        ("StudyDate", Action.SHIFT),
        ("AcquisitionDateTime", Action.SHIFT),
        ("StudyTime", Action.KEEP),
        ("TimezoneOffsetFromUTC", Action.REMOVE),
        ("DeviceUID", Action.UID),
        ("ReferencedImageSequence", Action.KEEP),
        ("RequestAttributesSequence", Action.REMOVE),
        ("VerifyingObserverSequence", Action.EMPTY),
        ("EncapsulatedDocument", Action.REMOVE),
        ("IconImageSequence", Action.REMOVE),
        ("Modality", Action.KEEP),
        ("PixelSpacing", Action.KEEP),
        ("ImagePositionPatient", Action.KEEP),
        ("RescaleIntercept", Action.KEEP),
        ("PixelData", Action.KEEP),
        ("LUTData", Action.KEEP),
        ("CodeMeaning", Action.KEEP),
        ("ViewPosition", Action.KEEP),
        ("RadiopharmaceuticalStartDateTime", Action.SHIFT),
    ],
)
def test_what_happens_to(keyword: str, action: Action) -> None:
    value = "1.2.3" if KEYWORDS[keyword] == "UI" else None
    assert decide(keyword, value) is action


def test_every_name_date_and_age_of_the_dictionary_is_dealt_with() -> None:
    for keyword, vr in KEYWORDS.items():
        if vr in ("PN", "DA", "DT", "AS"):
            assert decide(keyword) is not Action.KEEP, keyword


def test_registered_uids_stay_and_others_go() -> None:
    assert decide("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2") is Action.KEEP
    assert decide("ReferencedSOPClassUID", "1.2.840.10008.5.1.4.1.1.2") is Action.KEEP
    assert decide("SOPClassUID", "1.2.3.4") is Action.UID
    assert decide("ContextUID", "1.3.6.1.4.1.99") is Action.UID


def test_free_text_goes_unless_it_is_known() -> None:
    for keyword in ("InterventionDrugName", "FrameLabel", "PartialViewDescription", "RetrieveURL"):
        assert decide(keyword) is Action.REMOVE


@given(st.text(min_size=1, max_size=60))
def test_uids_are_valid_and_tell_nothing(original: str) -> None:
    identity = Identity(b"0" * 32)
    uid = UID(identity.uid(original))
    assert uid.is_valid
    assert len(uid) <= 64
    assert uid.startswith("2.25.")
    assert identity.uid(original) == uid
    assert Identity(b"1" * 32).uid(original) != uid


@given(
    st.dates(date(1920, 1, 1), date(2060, 1, 1)),
    st.dates(date(1920, 1, 1), date(2060, 1, 1)),
    st.text(max_size=20),
)
def test_shifting_keeps_intervals(first: date, second: date, patient: str) -> None:
    shift = Identity(b"0" * 32).shift(patient)
    assert timedelta(days=-3650) <= shift <= timedelta(days=-366)
    moved = [shift_date(f"{day:%Y%m%d}", shift) for day in (first, second)]
    dates = [date(int(text[:4]), int(text[4:6]), int(text[6:])) for text in moved if text]
    assert dates[1] - dates[0] == second - first


@pytest.mark.parametrize(
    ("text", "shifted"),
    [
        ("20240301", "20240229"),
        ("2024.03.01", "20240229"),
        ("20240301235959.123456", "20240229235959.123456"),
        ("20240301235959+0130", "20240229235959"),
        ("202403011200-0500", "202402291200"),
        ("2024", None),
        ("202403", None),
        ("20241399", None),
        ("00010101", None),
        ("tomorrow", None),
        ("20240301-20240302", None),
        ("20240301 by Jones", None),
    ],
)
def test_shifting_one_day(text: str, shifted: str | None) -> None:
    assert shift_date(text, timedelta(days=-1)) == shifted


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "other"}', '{"format": 1, "secret": "zz"}']
)
def test_a_wrong_key_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(FormatError):
        load_identity(path)
    assert path.read_text() == content


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(json.dumps({"format": "vlmtool-deidentification-key", "secret": "aa"}))
    with pytest.raises(FormatError, match="too short"):
        load_identity(path)
