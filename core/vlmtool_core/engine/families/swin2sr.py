"""Swin2SR: pictures made larger, tile by tile, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily
from vlmtool_core.engine.method_options import NumberOption, read_options
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.errors import BudgetExceededError
from vlmtool_core.media.budget import current_budget
from vlmtool_core.records import Enhanced, Frame, Json, Task

_OPTIONS = {"tile": NumberOption(192, 32, 1024, whole=True)}
# Around each tile, so many windows of the picture are looked at and cut off again: without them,
# tiles would show their edges.
_WINDOWS_AROUND = 4

Span = tuple[int, int, int, int]  # begin and end of what is kept, begin and end of what is seen


@register_family("swin2sr")
class Swin2Sr(TransformersFamily):
    """Super-resolution by the factor the model was trained for. tile : its side in pixels."""

    tasks = (Task.ENHANCE,)
    model_types = ("swin2sr",)
    auto_class = "Swin2SRForImageSuperResolution"

    @torch.inference_mode()
    def enhance(self, frame: Frame, options: Mapping[str, Json]) -> Enhanced:
        settings = read_options(options, _OPTIONS)
        scale = int(self._model.config.upscale)
        height, width = frame.pixels.shape[:2]
        _check_size(width * scale, height * scale)
        made = np.empty((height * scale, width * scale, 3), np.uint8)
        window = int(self._model.config.window_size)
        # Whole windows, so that those of a tile lie where those of the whole picture are.
        step, around = max(1, int(settings["tile"]) // window) * window, _WINDOWS_AROUND * window
        for top, bottom, above, below in _spans(height, step, around):
            for left, right, before, behind in _spans(width, step, around):
                check_stopped()
                tile = self._enlarged(frame.pixels[above:below, before:behind])
                y, x = (top - above) * scale, (left - before) * scale
                part = tile[y : y + (bottom - top) * scale, x : x + (right - left) * scale]
                made[top * scale : bottom * scale, left * scale : right * scale] = part
        provenance: dict[str, Json] = {"settings": dict(settings), "scale": scale}
        return Enhanced(made, provenance)

    def _enlarged(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (h * scale, w * scale, 3) of one tile, padded as the model's processor pads."""
        height, width = pixels.shape[:2]
        unit = int(getattr(self._processor, "size_divisor", None) or 8)
        padding = [(0, unit - height % unit), (0, unit - width % unit), (0, 0)]
        padded = np.pad(pixels, padding, mode="symmetric")
        values = torch.from_numpy(padded).to(self.device).permute(2, 0, 1)[None]
        scaled = (values * self._processor.rescale_factor).to(self._model.dtype)
        found = self._model(pixel_values=scaled).reconstruction[0].float()
        scale = int(self._model.config.upscale)
        kept = found[:, : height * scale, : width * scale].clamp(0, 1).permute(1, 2, 0)
        return (kept * 255).round().to(torch.uint8).cpu().numpy()


def _spans(length: int, step: int, around: int) -> Iterator[Span]:
    for begin in range(0, length, step):
        end = min(length, begin + step)
        yield begin, end, max(0, begin - around), min(length, end + around)


def _check_size(width: int, height: int) -> None:
    most = current_budget().max_pixels
    if width * height > most:
        raise BudgetExceededError(
            f"the enlarged picture would have {width} × {height} pixels; "
            f"{most / 1e6:.0f} megapixels are allowed",
            field="max_megapixels",
        )
