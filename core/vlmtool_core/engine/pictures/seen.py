"""What a model saw: the picture of a prediction, made again as its provenance says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.engine.pictures.preprocessing import resize
from vlmtool_core.media import MediaSource, Window
from vlmtool_core.records import Frame, Json

if TYPE_CHECKING:
    import numpy as np

PICTURE = "picture"  # where an outcome's provenance keeps that of its frame
_TABLE = "TABLE"


@dataclass(frozen=True, slots=True)
class Seen:
    """The network's input, before its colours are normalised.

    pixels : uint8 RGB (h, w, 3)
    exact : whether size and crop are those of the network; else the picture as it was handed to
        the model, whose own processor resized it further
    differs : what is not as it was then (decoder, window), in sentences
    facts : the provenance that this rests on
    """

    pixels: np.ndarray
    exact: bool
    differs: tuple[str, ...]
    facts: Mapping[str, Json]


def what_the_model_saw(source: MediaSource, index: int, provenance: Mapping[str, Json]) -> Seen:
    """Decode frame `index` as it was decoded for a prediction, and crop and resize it likewise.

    provenance : of the prediction's outcome

    Raises
    ------
    MediaError : the frame cannot be decoded any more
    """
    picture = _mapping(provenance.get(PICTURE))
    frame = source.frame(index, window=_window(_mapping(picture.get("voi"))))
    differs = tuple(_differences(picture, frame.provenance))
    crop, size = _numbers(provenance.get("crop")), _numbers(provenance.get("input"))
    if len(crop) != 4 or len(size) != 2:
        return Seen(frame.pixels, exact=False, differs=differs, facts=provenance)
    box = _within(crop, frame)
    method = str(provenance.get("interpolation", "bicubic"))
    pixels = resize(frame.pixels, (int(size[0]), int(size[1])), method, box)
    return Seen(pixels, exact=True, differs=differs, facts=provenance)


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _numbers(value: Json) -> tuple[float, ...]:
    """A list of numbers; empty for whatever is none."""
    numbers = value if isinstance(value, list | tuple) else ()
    return tuple(float(one) for one in numbers)


def _window(voi: Mapping[str, Json]) -> Window | None:
    """The window that was used; None lets the file's own table or the plain picture stand."""
    if not voi or voi.get("function") == _TABLE or voi.get("center") is None:
        return None
    return Window(
        float(voi["center"]),
        float(voi["width"]),
        str(voi.get("explanation", "")),
        str(voi["function"]),
    )


def _within(crop: Sequence[float], frame: Frame) -> tuple[float, float, float, float]:
    """The crop, which was rounded when it was kept, inside the picture."""
    width, height = frame.size
    x1, y1, x2, y2 = crop
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)


def _differences(then: Mapping[str, Json], now: Mapping[str, Json]) -> list[str]:
    """What the decoder says of itself now and did not say then."""
    if not then:
        return ["it was not recorded how the picture was decoded"]
    pairs = ((name, then.get(name), now.get(name)) for name in ("decoder", "inverted"))
    return [f"{name} was {old}, is {new}" for name, old, new in pairs if old != new]
