"""TrOCR: reads one line of print or handwriting; the lines are found by the text detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.family import DECODE_SIDE
from vlmtool_core.engine.packs import builtin_packs
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.pictures.preprocessing import scale_to_source
from vlmtool_core.engine.pictures.reading_order import reading_rows
from vlmtool_core.engine.pictures.text_crops import rectified
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.records import Frame, Json, Outcome, OutcomeStatus, Task, TextLine

if TYPE_CHECKING:
    from vlmtool_core.engine.families.rapidocr_reader import RapidOcrReader

# Lines that are read at once, from as many frames as they come from.
_LINES_AT_ONCE = 16


@register_family("trocr")
class TrOcr(WritingFamily):
    """Reads the lines that rapidocr's detector finds."""

    tasks = (Task.READ,)
    model_types = ("vision-encoder-decoder",)
    architectures = ("VisionEncoderDecoderModel",)
    parts: ClassVar = {Task.READ: (builtin_packs.READ,)}
    padding_side: ClassVar[str] = "right"
    most_tokens = 96

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        decoder = folder.config.get("decoder") or {}
        return super().serves(folder) and decoder.get("model_type") == "trocr"

    def decode_side(self, task: Task) -> int:
        """Full detail: lines are small parts of a picture."""
        return DECODE_SIDE[task]

    def read(self, frames: Sequence[Frame]) -> list[Outcome]:
        """Lines in reading order; a line's score is exp of its mean token log-probability."""
        detector: RapidOcrReader = self.surroundings.family(builtin_packs.READ)  # type: ignore[assignment]
        rows = []
        for frame in frames:
            check_stopped()
            rows.append(_in_reading_order(detector.find_lines(frame)))
        crops = [
            rectified(frame.pixels, quad)
            for frame, ordered in zip(frames, rows, strict=True)
            for row in ordered
            for quad in row
        ]
        texts = iter(self.read_lines(crops))
        return [
            self._page(frame, [[(quad, *next(texts)) for quad in row] for row in ordered])
            for frame, ordered in zip(frames, rows, strict=True)
        ]

    def read_lines(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """Text and score in [0, 1] of pictures of one line each, uint8 (h, w, 3)."""
        read: dict[int, tuple[str, float]] = {}
        # Lines of like length together: a batch takes as long as its longest line.
        order = sorted(range(len(crops)), key=lambda n: crops[n].shape[1] / crops[n].shape[0])
        for start in range(0, len(order), _LINES_AT_ONCE):
            part = order[start : start + _LINES_AT_ONCE]
            inputs = self._inputs([Frame(crops[n]) for n in part])
            written = self._write({"pixel_values": inputs["pixel_values"]}, 1)
            said = zip(self._decoded(written.new), written.scores, strict=True)
            read.update(zip(part, said, strict=True))
        return [read[n] for n in range(len(crops))]

    def _page(
        self, frame: Frame, rows: Sequence[Sequence[tuple[np.ndarray, str, float]]]
    ) -> Outcome:
        provenance: dict[str, Json] = self._described(detector=builtin_packs.READ)
        scale = scale_to_source(frame)
        kept = [[line for line in row if line[1]] for row in rows]
        lines = []
        for quad, text, score in (line for row in kept for line in row):
            corners = np.clip(np.asarray(quad, float) * scale, 0, frame.size)
            lines.append(TextLine(text, tuple((float(x), float(y)) for x, y in corners), score))
        if not lines:
            return Outcome(OutcomeStatus.EMPTY, provenance=provenance)
        text = "\n".join(" ".join(line[1] for line in row) for row in kept if row)
        return Outcome(OutcomeStatus.OK, text=text, lines=tuple(lines), provenance=provenance)


def _in_reading_order(quads: np.ndarray) -> list[list[np.ndarray]]:
    """Quadrilaterals (n, 4, 2) as rows, each from left to right."""
    rows = reading_rows([(*quad.min(axis=0), *quad.max(axis=0)) for quad in quads])
    return [[quads[n] for n in row] for row in rows]
