"""Writes presentation states with highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom import pr
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

CT = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
GRAPHICS: dict[str, list[list[float]]] = {
    "POINT": [[10.5, 20.25]],
    "POLYLINE": [[1, 2], [30, 40], [50, 6]],
    "INTERPOLATED": [[10, 10], [40, 20], [60, 50], [20, 60]],
    "CIRCLE": [[40, 50], [52, 55]],
    "ELLIPSE": [[20, 40], [80, 40], [50, 30], [50, 50]],
}
LAYER = pr.GraphicLayer(
    "MARKS", order=1, description="marks", display_color=hd.color.CIELabColor(60.0, 50.0, 40.0)
)


def annotation(
    images: Sequence[pydicom.Dataset], units: str = "PIXEL", kinds: Sequence[str] = tuple(GRAPHICS)
) -> pr.GraphicAnnotation:
    scale = 1.0 if units == "PIXEL" else 1 / 128
    return pr.GraphicAnnotation(
        referenced_images=images,
        graphic_layer=LAYER,
        graphic_objects=[
            pr.GraphicObject(kind, np.array(GRAPHICS[kind]) * scale, units=units) for kind in kinds
        ],
        text_objects=[
            pr.TextObject("a finding", units=units, bounding_box=tuple(
                value * scale for value in (10.0, 90.0, 60.0, 110.0)
            )),
            pr.TextObject("there", units=units, anchor_point=(70.0 * scale, 80.0 * scale)),
        ],
    )  # fmt: skip


def write_state(
    path: Path,
    images: Sequence[pydicom.Dataset],
    annotations: Sequence[pr.GraphicAnnotation] = (),
    layers: Sequence[pr.GraphicLayer] = (),
    windows: Sequence[pr.SoftcopyVOILUTTransformation] | None = None,
    **elements: Any,
) -> Path:
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=images,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="vlmtool",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        content_label="MARKS",
        content_description="what was found",
        graphic_annotations=annotations or None,
        graphic_layers=layers or None,
        voi_lut_transformations=windows,
        content_creator_name="Reader^Rose",
    )
    for keyword, value in elements.items():
        if value is None:
            delattr(state, keyword)
        else:
            setattr(state, keyword, value)
    state.save_as(path)
    return path
