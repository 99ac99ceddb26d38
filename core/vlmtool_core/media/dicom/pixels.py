"""Decodes one frame of a DICOM object at a time, with the decoder pinned per object."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.budget import check_frames, check_memory, check_pixels
from vlmtool_core.media.dicom.bits import stored_bits
from vlmtool_core.media.dicom.clip import EncapsulatedClip
from vlmtool_core.media.dicom.codecs import PixelFormat, decode
from vlmtool_core.media.dicom.fragments import FrameTable, frame_table, read_frame
from vlmtool_core.media.dicom.header import EXPLICIT_BE, Header, number, require_pixels
from vlmtool_core.media.dicom.photometric import photometric_of
from vlmtool_core.media.dicom.syntaxes import (
    DEFLATED_FRAMES,
    RLE,
    Coding,
    Decoder,
    decoder_version,
    syntax_name,
    syntax_of,
)
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.records import Json

log = logging.getLogger(__name__)

_HALF_CHROMA = ("YBR_FULL_422", "YBR_PARTIAL_422")


class PixelReader:
    """Frames of one object as stored values; keeps the file open until `close`.

    rows, columns, frame_count, samples, bits_stored : of the header, checked against the limits
    notes : what a user must know of how the frames lie in the file

    Raises
    ------
    DamagedMediaError : the header lacks or contradicts what decoding needs
    UnsupportedMediaError : there is no pixel data, or nothing decodes its transfer syntax
    BudgetExceededError
    """

    def __init__(self, header: Header) -> None:
        self._syntax = syntax_of(header.transfer_syntax, header.path)
        require_pixels(header)
        self._header = header
        self._stream: BinaryIO | None = None
        self._decoder: Decoder | None = None
        self._passed_over: tuple[Decoder, ...] = ()
        self.rows = self._required("Rows")
        self.columns = self._required("Columns")
        self.samples = int(number(header.dataset, "SamplesPerPixel") or 1)
        self.bits_allocated = self._required("BitsAllocated")
        self.bits_stored = stored_bits(header.dataset)
        self.frame_count = max(1, int(number(header.dataset, "NumberOfFrames") or 1))
        check_pixels(self.path, self.columns, self.rows)
        check_frames(self.path, self.frame_count)
        self._format = self._format_of()
        self._table: FrameTable | None = None
        self._clip: EncapsulatedClip | None = None
        self._present = self.frame_count
        self.notes: tuple[str, ...] = ()
        self._find_frames()

    @property
    def path(self) -> Path:
        return self._header.path

    @property
    def decoder(self) -> str:
        """Name and version of the decoder in use, or of the first choice before any was."""
        chosen = self._decoder
        if chosen is None:
            chosen = self._syntax.choices(self.bits_stored)[0]
        failed = " and ".join(decoder_version(one) for one in self._passed_over)
        return decoder_version(chosen) + (f" ({failed} cannot decode it)" if failed else "")

    @property
    def provenance(self) -> Mapping[str, Json]:
        """What there is to say of how the last frame of an encapsulated video came to be."""
        return {} if self._clip is None else self._clip.provenance

    @property
    def times_s(self) -> tuple[float, ...] | None:
        """Seconds of each frame as an encapsulated video states them; None for all else."""
        return None if self._clip is None else self._clip.times_s

    def _required(self, keyword: str) -> int:
        value = number(self._header.dataset, keyword)
        if value is None or value <= 0:
            raise DamagedMediaError(f"the header lacks {keyword}", path=self.path, field=keyword)
        return int(value)

    def _format_of(self) -> PixelFormat:
        dataset = self._header.dataset
        return PixelFormat(
            self.rows,
            self.columns,
            self.samples,
            self.bits_allocated,
            self.bits_stored,
            signed=int(number(dataset, "PixelRepresentation") or 0) == 1,
            photometric=photometric_of(dataset),
            planar=int(number(dataset, "PlanarConfiguration") or 0),
            keyword=self._header.keyword,
            vr=self._header.vr,
        )

    # Where the frames lie --------------------------------------------------------------------

    def _find_frames(self) -> None:
        if self._syntax.coding is Coding.NATIVE:
            self._find_native()
            return
        if self._header.length is not None:
            raise DamagedMediaError(
                "its pixel data lie bare in the file, although its transfer syntax is "
                f"{syntax_name(self._header.transfer_syntax)}",
                path=self.path,
                field="PixelData",
            )
        with self._header.opener() as stream, decoding(self.path):
            video = self._syntax.coding is Coding.VIDEO
            table = frame_table(
                stream,
                self._header.offset,
                1 if video else self.frame_count,
                extended=() if video else self._extended_offsets(),
                one_each=self._header.transfer_syntax in (RLE, DEFLATED_FRAMES),
            )
        if not table.frames:
            raise DamagedMediaError("there is no frame in its pixel data", path=self.path)
        if video:
            parts = [part for frame in table.frames for part in frame]
            self._clip = EncapsulatedClip(self._header, parts, self.rows, self.columns)
            self._present = len(self._clip)
            self.notes = self._clip.notes_on(self.frame_count)
            return
        self._table, self.notes = table, table.notes
        self._present = min(self.frame_count, len(table.frames))

    def _extended_offsets(self) -> Sequence[int]:
        """Of the Extended Offset Table (PS3.3 C.7.6.3.1.8)."""
        raw = self._header.dataset.get("ExtendedOffsetTable")
        if not isinstance(raw, bytes):
            return ()
        return struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])

    def _find_native(self) -> None:
        header = self._header
        if header.length is None:
            raise DamagedMediaError(
                "compressed pixel data under an uncompressed transfer syntax", path=self.path
            )
        with header.opener() as stream:
            present = min(header.length, stream.seek(0, 2) - header.offset)
        expected = -(-self._native_bits() * self.frame_count // 8)
        if present < expected:
            self._present = present * 8 // self._native_bits()
            self.notes = (
                f"truncated: the header asks for {expected} bytes of pixel data, "
                f"there are {present}",
            )
            if self._present == 0:
                raise DamagedMediaError(self.notes[0], path=self.path, field="PixelData")
        elif (more := (present - expected) * 8 // self._native_bits()) > 0:
            self.notes = (
                f"the header says {self.frame_count} frames, the file holds "
                f"{self.frame_count + more}",
            )

    def _native_bits(self) -> int:
        """Bits of one uncompressed frame."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits * 2 // 3 if self._format.photometric in _HALF_CHROMA else bits

    # Reading ---------------------------------------------------------------------------------

    def read(self, index: int) -> tuple[np.ndarray, str]:
        """Stored values (h, w) or RGB (h, w, 3), and the photometric interpretation they have.

        Raises
        ------
        DamagedMediaError, UnsupportedMediaError, BudgetExceededError
        """
        bytes_each = max(1, self.bits_allocated // 8)
        check_memory(self.path, self.rows * self.columns * self.samples * bytes_each * 4)
        if index >= self._present:
            raise DamagedMediaError(
                f"frame {index + 1} is missing: the header says {self.frame_count} frames, "
                f"{self._present} are in the file",
                path=self.path,
                field="NumberOfFrames",
            )
        if self._syntax.coding is Coding.NATIVE:
            return self._read_native(index)
        if self._clip is not None:
            return self._clip.frame(index), "RGB"
        if self._decoder is None and (first := self._pin(index)) is not None:
            return first
        assert self._decoder is not None
        return self._decode(index, self._decoder)

    def _pin(self, index: int) -> tuple[np.ndarray, str] | None:
        """Choose the decoder by the first frame, whichever frame is asked for first.

        The pixels of a frame never depend on what was read before. Gives the first frame where
        that is the one that was asked for.
        """
        choices = self._syntax.choices(self.bits_stored)
        if len(choices) == 1:
            self._decoder = choices[0]
            return None
        for place, decoder in enumerate(choices):
            try:
                result = self._decode(0, decoder)
            except DamagedMediaError as error:
                log.debug("%s does not decode the first frame: %s", decoder, error.message)
                continue
            self._decoder, self._passed_over = decoder, choices[:place]
            return result if index == 0 else None
        self._decoder = choices[0]
        return None

    def _decode(self, index: int, decoder: Decoder) -> tuple[np.ndarray, str]:
        assert self._table is not None
        with decoding(self.path):
            data = read_frame(self._opened(), self._table.frames[index])
            values, photometric = decode(decoder, self._header.transfer_syntax, data, self._format)
        return self._checked(values), photometric

    def _read_native(self, index: int) -> tuple[np.ndarray, str]:
        from pydicom.pixels.decoders.base import get_decoder

        self._decoder = Decoder.NATIVE
        stream = self._opened()
        with decoding(self.path):
            if self.bits_allocated == 1 and self.samples == 1:
                return self._read_bits(stream, index), self._format.photometric
            stream.seek(self._header.offset)
            options = {**self._format.pydicom_options(), "number_of_frames": self.frame_count}
            photometric = self._format.photometric
            if partial := photometric == "YBR_PARTIAL_422":
                # Laid out as YBR_FULL_422 is; pydicom knows that one alone.
                options["photometric_interpretation"] = "YBR_FULL_422"
            values, facts = get_decoder(self._header.transfer_syntax).as_array(
                stream, index=index, raw=partial, **options
            )
        found = photometric if partial else str(facts.get("photometric_interpretation", ""))
        return self._checked(values), found

    def _read_bits(self, stream: BinaryIO, index: int) -> np.ndarray:
        """A frame of single bits, which need not begin at a byte (PS3.5 8.1.1)."""
        first = index * self.rows * self.columns
        stream.seek(self._header.offset + first // 8)
        raw = stream.read((first % 8 + self.rows * self.columns + 7) // 8)
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[first % 8 :]
        return bits[: self.rows * self.columns].reshape(self.rows, self.columns)

    def _checked(self, values: np.ndarray) -> np.ndarray:
        expected = (self.rows, self.columns)
        if values.shape[:2] != expected or values.ndim not in (2, 3):
            raise DamagedMediaError(
                f"the pixel data decode to {values.shape}, the header says {expected}",
                path=self.path,
            )
        return values

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self._header.opener()
        return self._stream

    def read_allocated(self, index: int) -> np.ndarray | None:
        """uint (rows, columns) with every allocated bit as it is in the file; None where that
        cannot be told: compressed, in colour, or not of 8, 16 or 32 bits.
        """
        header = self._header
        if header.length is None or self.samples > 1 or self.bits_allocated not in (8, 16, 32):
            return None
        order = ">" if header.transfer_syntax == EXPLICIT_BE else "<"
        size = self.rows * self.columns * self.bits_allocated // 8
        stream = self._opened()
        stream.seek(header.offset + index * size)
        kind = f"{order}u{self.bits_allocated // 8}"
        data = np.frombuffer(stream.read(size), kind)
        return data.reshape(self.rows, self.columns)

    def close(self) -> None:
        if self._clip is not None:
            self._clip.close()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
