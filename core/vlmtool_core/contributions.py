"""The records in which plugins hand over readers of media and formats for export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.records import MediaKind, ResultRow

if TYPE_CHECKING:
    from vlmtool_core.formats.records import AnnotationRow
    from vlmtool_core.media.base import MediaSource


@dataclass(frozen=True)
class MediaReader:
    """Opens a kind of file that the program itself does not know.

    It is asked only about files whose first bytes are no picture, DICOM or video.

    name : lower-case words joined by hyphens
    extensions : in lower case with their dot; a file of such a name that nothing can open is an
        error and not a foreign file
    sniff : (the first 1024 bytes, the path) -> whether this is such a file
    open : gives the opened file; its `MediaInfo.kind` is `kind`, its frames are uint8 RGB
    kind : IMAGE, or DICOM for stacks of slices, of which runs take a sample; not VIDEO, whose
        readers need a table of their frames
    """

    name: str
    extensions: tuple[str, ...]
    sniff: Callable[[bytes, Path], bool]
    open: Callable[[Path], MediaSource]
    kind: MediaKind = MediaKind.IMAGE


@dataclass(frozen=True)
class Exporter:
    """A format that results, annotations or both are written in, as pieces of text in order.

    name : lower-case words joined by hyphens, given as `--format NAME`
    extension : in lower case with its dot; the ending of `--out` that means this format
    write_results, write_annotations : (rows, the labels of the project) -> the file's text;
        None when the format does not have them
    """

    name: str
    title: str
    extension: str
    write_results: Callable[[Iterable[ResultRow], Sequence[str]], Iterator[str]] | None = None
    write_annotations: Callable[[Iterable[AnnotationRow], Sequence[str]], Iterator[str]] | None = (
        None
    )
