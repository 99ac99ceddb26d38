"""12-bit JPEG Extended (1.2.840.10008.1.2.4.51), which pydicom's decoders leave out, by GDCM."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_deep_jpeg(path: Path, index: int, rows: int, columns: int) -> np.ndarray:
    """Stored values of one frame, uint16 (rows, columns).

    Raises
    ------
    ValueError : GDCM cannot read it, or it is not grey of 16 allocated bits
    """
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError("GDCM cannot read it")
    image = reader.GetImage()
    if image.GetPixelFormat().GetScalarTypeAsString() != "UINT16":
        raise ValueError("12-bit JPEG in colour or with a sign")
    # The binding hands bytes over as text; this is the way back that loses nothing.
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    size = rows * columns
    values = np.frombuffer(data, np.uint16, count=size, offset=2 * size * index)
    return values.reshape(rows, columns)
