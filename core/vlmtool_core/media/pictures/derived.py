"""Pictures made from other pictures: they carry a note that says so, and what made them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vlmtool_core.records import Json

if TYPE_CHECKING:
    import numpy as np

KEY = "vlmtool-derived"
NOTE = "derived, not the original"
_MOST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a picture came to be.

    source : name of the file it was made from, and the SHA-256 of its bytes
    frame : 0-based index in the source
    options : what the method was told
    """

    method: str
    version: str
    source: str
    source_sha256: str
    frame: int = 0
    options: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return {"note": NOTE, **asdict(self), "options": dict(self.options)}

    def in_words(self) -> str:
        made = f"{self.method} {self.version} from {self.source}"
        return f"a derived picture, not the original: made with {made}"[:_MOST_SHOWN]


def derived_png(pixels: np.ndarray, derivation: Derivation) -> bytes:
    """A PNG of uint8 (h, w, 3) that says in itself that it is derived, and from what."""
    from PIL import Image, PngImagePlugin

    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Description", derivation.in_words())
    texts.add_itxt(KEY, json.dumps(derivation.to_json(), ensure_ascii=False, sort_keys=True))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


def derivation_of(texts: Mapping[Any, Any]) -> Derivation | None:
    """The note among a picture's texts (Pillow's `info`), None where there is none.

    A note that somebody damaged still says that the picture is derived.
    """
    found = texts.get(KEY)
    if not isinstance(found, str):
        return None
    try:
        values = json.loads(found)
        known = {name: str(values[name]) for name in ("method", "version", "source")}
        sha256, frame = str(values["source_sha256"]), int(values["frame"])
        return Derivation(**known, source_sha256=sha256, frame=frame, options=values["options"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Derivation("something", "unknown", "an unknown picture", "")
