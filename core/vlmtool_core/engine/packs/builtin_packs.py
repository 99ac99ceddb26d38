"""Models that are there without a pack of their own: what rapidocr and OpenCV bring, and the
detector that sends each label to whoever can find it."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from pathlib import Path

from vlmtool_core.engine.packs.pack import Pack, PackFile, hash_file
from vlmtool_core.errors import MissingDependencyError
from vlmtool_core.records import Task

READ, DETECT, ASK = "rapidocr", "starter-detect", "starter-ask"
# Methods of OpenCV that make clearer copies of pictures, with what they are called.
ENHANCERS = {"clahe": "More local contrast (CLAHE)", "denoise": "Less noise (non-local means)"}
IDS = frozenset({READ, DETECT, ASK, *ENHANCERS})


def find(pack_id: str) -> Pack | None:
    """The built-in model of this name, else None.

    Raises
    ------
    MissingDependencyError : rapidocr is not installed or lost its files.
    """
    if pack_id == READ:
        return _rapidocr()
    if pack_id == DETECT:
        return _composed(
            DETECT, "Starter detector (faces, text, coarse open vocabulary)", Task.DETECT
        )
    if pack_id == ASK:
        return _composed(ASK, "Starter answers (from tags, faces and read text)", Task.ASK)
    if pack_id in ENHANCERS:
        return _composed(pack_id, ENHANCERS[pack_id], Task.ENHANCE)
    return None


@functools.cache
def _rapidocr() -> Pack:
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("rapidocr is not installed")
    folder = Path(spec.origin).parent / "models"
    files = tuple(
        PackFile(path.name, hash_file(path), path.stat().st_size)
        for path in sorted(folder.glob("*.onnx"))
    )
    if not files:
        raise MissingDependencyError(
            "rapidocr has no models", path=folder, remedy="Reinstall it: pip install rapidocr"
        )
    return Pack(
        id=READ,
        version=importlib.metadata.version("rapidocr"),
        title="Text detection and recognition (PP-OCR)",
        family="rapidocr",
        tasks=(Task.READ, Task.DETECT),
        licence="Apache-2.0",
        licence_files=(),
        source="dependency rapidocr",
        input="RGB, any size",
        files=files,
        path=folder,
        location=folder,
    )


def _composed(pack_id: str, title: str, task: Task) -> Pack:
    """A model without weights of its own: the packs that take part make its fingerprint."""
    return Pack(
        id=pack_id,
        version="1",
        title=title,
        family=pack_id,
        tasks=(task,),
        licence="Apache-2.0",
        licence_files=(),
        source="built in",
        input="RGB, any size",
        files=(),
        path=Path(),
        location=Path(),
    )
