"""Documents inside DICOM (PS3.3 A.45): the pages of a PDF as frames, with the object's facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.base import MediaInfo
from vlmtool_core.media.budget import check_file
from vlmtool_core.media.dicom.badges import badges_of
from vlmtool_core.media.dicom.facts import identifying_of
from vlmtool_core.media.dicom.header import read_header, text
from vlmtool_core.media.dicom.objects import ENCAPSULATED_PDF, kind_of, sop_class, storage_class
from vlmtool_core.media.dicom.source import DicomSource
from vlmtool_core.media.dicom.whole_slide import WHOLE_SLIDE, WholeSlideSource
from vlmtool_core.media.pictures.pdf import PdfSource
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import MediaKind


class DocumentSource(PdfSource):
    """A PDF that is encapsulated in a DICOM object; each page is a frame.

    Raises
    ------
    UnsupportedMediaError : it holds another kind of document, or the PDF needs a password
    MediaError : the PDF is damaged, has no page, or asks for too much
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        dataset = read_header(path).dataset
        self._dataset = dataset
        document = dataset.get("EncapsulatedDocument")
        if not isinstance(document, bytes) or not document:
            raise DamagedMediaError(
                "the document that it should encapsulate is missing",
                path=path,
                field="EncapsulatedDocument",
            )
        kind = text(dataset, "MIMETypeOfEncapsulatedDocument").lower()
        if b"%PDF-" not in document[:1024]:
            raise UnsupportedMediaError(
                f"the document in it is no PDF ({kind or 'the header says no type'})",
                path=path,
                field="MIMETypeOfEncapsulatedDocument",
                remedy="Export the document from the archive; of documents only PDF is shown here.",
            )
        super().__init__(path, document)

    def _describe(self, path: Path) -> MediaInfo:
        pages, dataset = super()._describe(path), self._dataset
        badges = badges_of(dataset, "")
        facts = {
            **pages.facts,
            "format": "DICOM",
            "document": "PDF",
            "object": kind_of(sop_class(dataset)),
            "modality": text(dataset, "Modality").upper(),
        }
        return replace(
            pages,
            kind=MediaKind.DICOM,
            warnings=(*pages.warnings, *(badge.note for badge in badges)),
            facts=facts,
            identifying=identifying_of(dataset),
            group=text(dataset, "PatientID"),
            badges=badges,
        )


def open_object(path: Path, files: Sequence[Path] = ()) -> SourceBase:
    """One DICOM object or a series: its pixels, the pages of its document, or its slide.

    Raises
    ------
    MediaError
    """
    stored = storage_class(files[0] if files else path)
    if stored == ENCAPSULATED_PDF and not files:
        return DocumentSource(path)
    if stored == WHOLE_SLIDE:
        return WholeSlideSource(path, files)
    return DicomSource(path, files)
