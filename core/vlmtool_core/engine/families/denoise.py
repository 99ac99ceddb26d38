"""Noise removed by non-local means, by OpenCV."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.method_options import NumberOption, read_options
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.records import Enhanced, Frame, Json, Task

_OPTIONS = {"strength": NumberOption(5.0, 0.5, 30.0)}
_TEMPLATE, _SEARCH = 7, 21
# Rows at a time, so that it can be stopped; a pixel depends on so many rows around it.
_STRIP, _AROUND = 256, _TEMPLATE // 2 + _SEARCH // 2


@register_family("denoise")
class Denoise(Family):
    """Non-local means (Buades 2011). strength : of the filter; more also blurs more."""

    tasks = (Task.ENHANCE,)

    def enhance(self, frame: Frame, options: Mapping[str, Json]) -> Enhanced:
        settings = read_options(options, _OPTIONS)
        made = np.empty_like(frame.pixels)
        height = len(made)
        for top in range(0, height, _STRIP):
            check_stopped()
            bottom = min(height, top + _STRIP)
            first, last = max(0, top - _AROUND), min(height, bottom + _AROUND)
            strip = _denoised(np.ascontiguousarray(frame.pixels[first:last]), settings["strength"])
            made[top:bottom] = strip[top - first : bottom - first]
        provenance = {"settings": dict(settings), "library": f"OpenCV {cv2.__version__}"}
        return Enhanced(made, provenance)


def _denoised(pixels: np.ndarray, strength: float) -> np.ndarray:
    grey = pixels[:, :, 0]
    if (pixels == grey[:, :, None]).all():
        clean = cv2.fastNlMeansDenoising(grey, None, strength, _TEMPLATE, _SEARCH)
        return np.repeat(clean[:, :, None], 3, axis=2)
    # OpenCV takes blue for the first channel, which weighs in its brightness.
    swapped = np.ascontiguousarray(pixels[:, :, ::-1])
    clean = cv2.fastNlMeansDenoisingColored(swapped, None, strength, strength, _TEMPLATE, _SEARCH)
    return np.asarray(clean)[:, :, ::-1]
