"""What is really known of a picture: header facts, tags, faces and read text, gathered once.

Captions and answers rest on this evidence and on nothing else.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.builtin_packs import READ
from vlmtool_core.errors import InferenceError
from vlmtool_core.records import Box, Evidence, Frame, Json, Label, Outcome, OutcomeStatus, TextLine
from vlmtool_resources import files as resource_files

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.engine.families.timm_classifier import TimmClassifier

log = logging.getLogger(__name__)

FACES, VISION, TEXT = "starter-faces", "starter-vision", "starter-text"
PARTS = (VISION, TEXT, FACES, READ)

# What becomes evidence: a class by its probability, an everyday word by how far it stands out.
_LEAST_CLASS = 0.15
_LEAST_COMMON = 0.8
_LEAST_TEXT = 0.7
_MOST_TAGS = 3
# Tags whose texts are closer than this say the same thing twice.
_SAME_MEANING = 0.55
# The only header facts that may be spoken of; none of them identifies a person.
_SPOKEN_FACTS = ("modality", "body_part", "view", "laterality")
_MODALITIES = {
    "CR": "X-ray", "DX": "X-ray", "MG": "mammography", "CT": "CT", "MR": "MR", "US": "ultrasound",
    "XA": "angiography", "RF": "fluoroscopy", "NM": "nuclear medicine", "PT": "PET",
    "OP": "ophthalmic", "OCT": "OCT", "OPT": "OCT", "ES": "endoscopy", "SM": "slide microscopy",
    "IO": "dental X-ray", "PX": "dental X-ray", "XC": "photographic", "SC": "",
}  # fmt: skip
_VIEWS = {"AP": "frontal", "PA": "frontal", "LL": "lateral", "RL": "lateral", "LAT": "lateral"}
_SIDES = {"L": "left", "R": "right"}


@dataclass(frozen=True, slots=True)
class Known:
    """The evidence of one frame, by kind.

    facts : words of the header by name (`modality`: "CT", `body_part`: "chest")
    tags : best first, each scored by the probability of the classes that are kinds of it; weak
        ones too. faces : best first; lines : in reading order
    """

    facts: dict[str, str]
    tags: tuple[Evidence, ...]
    faces: tuple[Evidence, ...]
    lines: tuple[Evidence, ...]

    @property
    def all(self) -> tuple[Evidence, ...]:
        facts = tuple(Evidence("fact", f"{name}: {text}") for name, text in self.facts.items())
        return (*facts, *self.tags, *self.faces, *self.lines)


def gather(surroundings: Surroundings, frames: Sequence[Frame]) -> list[Known | Outcome]:
    """Evidence per frame; a failed `Outcome` where a part of it could not be found out.

    Raises
    ------
    MissingPackError : one of the starter packs is not installed.
    """
    facts = [spoken_facts(frame) for frame in frames]
    # A network for everyday photographs has nothing true to say of an X-ray.
    photographs = [n for n, fact in enumerate(facts) if "modality" not in fact]
    chosen = [frames[n] for n in photographs]
    faces = surroundings.family(FACES).detect(chosen, None, threshold=None) if chosen else []
    tags = _tags(surroundings, chosen) if chosen else []
    found = dict(zip(photographs, zip(tags, faces, strict=True), strict=True))
    read = surroundings.family(READ).read(frames)
    known: list[Known | Outcome] = []
    for n, text in enumerate(read):
        own_tags, face = found.get(n, ((), Outcome(OutcomeStatus.EMPTY)))
        failed = [o for o in (face, text) if o.status is OutcomeStatus.FAILED]
        known.append(
            failed[0]
            if failed
            else Known(facts[n], own_tags, _face_evidence(face.boxes), _text_evidence(text.lines))
        )
    return known


def spoken_facts(frame: Frame) -> dict[str, str]:
    """Header facts as words; only those that cannot identify a person."""
    facts: Json = frame.provenance.get("facts") or {}
    if not isinstance(facts, dict):
        raise InferenceError("the frame's facts are no table", field="facts")
    spoken = {}
    for name in _SPOKEN_FACTS:
        code = str(facts.get(name) or "").strip().upper()
        word = {
            "modality": _MODALITIES.get(code, ""),
            "view": _VIEWS.get(code, ""),
            "laterality": _SIDES.get(code, ""),
            "body_part": code.lower() if code.replace(" ", "").isalpha() else "",
        }[name]
        if word:
            spoken[name] = word
    return spoken


@functools.cache
def common_tags() -> tuple[Label, ...]:
    """Everyday words as labels, from the resources."""
    text = (resource_files() / "tables" / "common_tags.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return tuple(Label(line) for line in lines if line and not line.startswith("#"))


def prepare_texts(surroundings: Surroundings) -> None:
    """Encode every text that tags rest on and keep it in the text cache; seconds, only once."""
    from vlmtool_core.engine.texts.text_space import label_embeddings

    vision: TimmClassifier = surroundings.family(VISION)  # type: ignore[assignment]
    # Made when it is asked for.
    log.debug("%d classes in text space", len(vision.space.embeddings))
    label_embeddings(surroundings.family(TEXT), common_tags())
    _tag_texts(surroundings, vision)


def _tag_texts(surroundings: Surroundings, vision: TimmClassifier) -> np.ndarray:
    """float32 (n, d) of the classes and the everyday words: encoded together and only once."""
    from vlmtool_core.engine.texts.text_space import cached_texts

    names = [label.name for label in common_tags()]
    return cached_texts(surroundings.family(TEXT), [*vision.class_names, *names])


def _tags(surroundings: Surroundings, frames: Sequence[Frame]) -> list[tuple[Evidence, ...]]:
    vision: TimmClassifier = surroundings.family(VISION)  # type: ignore[assignment]
    classes = vision.probabilities(frames)
    common = vision.label_scores(classes, common_tags(), exclusive=False)
    support = vision.label_support(classes, common_tags())
    names = [label.name for label in common_tags()]
    texts = _tag_texts(surroundings, vision)
    result = []
    for own, everyday, supported in zip(classes, common, support, strict=True):
        seen = [(float(p), n) for n, p in enumerate(own) if p >= _LEAST_CLASS]
        seen += [
            (float(supported[n]), len(own) + n)
            for n, p in enumerate(everyday)
            if p >= _LEAST_COMMON
        ]
        kept: list[tuple[float, int]] = []
        for score, n in sorted(seen, reverse=True):
            if all(float(texts[n] @ texts[m]) < _SAME_MEANING for _, m in kept):
                kept.append((score, n))
        spoken = [*vision.class_names, *names]
        result.append(tuple(Evidence("tag", spoken[n], p) for p, n in kept[:_MOST_TAGS]))
    return result


def _face_evidence(boxes: Sequence[Box]) -> tuple[Evidence, ...]:
    return tuple(Evidence("face", "face", box.score, box) for box in boxes)


def _text_evidence(lines: Sequence[TextLine]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence("text", line.text, line.score, _bounds(line))
        for line in lines
        if (line.score or 0) >= _LEAST_TEXT and sum(c.isalnum() for c in line.text) >= 2
    )


def _bounds(line: TextLine) -> Box:
    xs, ys = [x for x, _ in line.quad], [y for _, y in line.quad]
    return Box(min(xs), min(ys), max(xs), max(ys), line.text, line.score)
