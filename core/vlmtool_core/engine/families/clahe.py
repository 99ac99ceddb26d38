"""CLAHE: more contrast where there is little, by OpenCV, on brightness only."""

from __future__ import annotations

from collections.abc import Mapping

import cv2

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.method_options import NumberOption, read_options
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Enhanced, Frame, Json, Task

_OPTIONS = {
    "clip_limit": NumberOption(2.0, 0.1, 40.0),
    "tiles": NumberOption(8, 1, 64, whole=True),
}


@register_family("clahe")
class Clahe(Family):
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of L in L*a*b*.

    clip_limit : how far a histogram may rise over an even one; tiles : per side of the picture
    """

    tasks = (Task.ENHANCE,)

    def enhance(self, frame: Frame, options: Mapping[str, Json]) -> Enhanced:
        settings = read_options(options, _OPTIONS)
        height, width = frame.pixels.shape[:2]
        tiles = int(min(settings["tiles"], height, width))
        equaliser = cv2.createCLAHE(settings["clip_limit"], (tiles, tiles))
        lab = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2LAB)
        lab[:, :, 0] = equaliser.apply(lab[:, :, 0])
        provenance = {"settings": dict(settings), "library": f"OpenCV {cv2.__version__}"}
        return Enhanced(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), provenance)
