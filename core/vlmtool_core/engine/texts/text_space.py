"""Labels as points in text space: which texts stand for a label, and their cached embeddings."""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core import paths
from vlmtool_core.errors import StorageError, UsageError
from vlmtool_core.records import Label

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.engine.family import Family

log = logging.getLogger(__name__)

TEMPLATES = ("{}", "a photo of a {}", "a kind of {}")
_memory: dict[str, np.ndarray] = {}
_lock = threading.Lock()


def unique_labels(labels: Sequence[Label]) -> tuple[Label, ...]:
    """The labels in order, a repeated name counted once.

    Raises
    ------
    UsageError : a label without a name.
    """
    for label in labels:
        if not label.name.strip():
            raise UsageError("a label is empty", field="labels", remedy="Give every label a name.")
    return tuple({label.name: label for label in labels}.values())


def label_texts(
    label: Label, *, any_language: bool = False, templates: Sequence[str] = TEMPLATES
) -> list[str]:
    """What stands for a label in text space: its name and prompts in templates, its definition.

    any_language : take texts in other scripts too, for encoders that read them
    templates : sentences of the encoder's language with {} where the name goes

    Raises
    ------
    UsageError : nothing of it is in Latin letters or digits, which is all the encoder reads.
    """
    names = [
        t for t in (label.name, *label.prompts) if t.strip() and (any_language or _readable(t))
    ]
    texts = [template.format(_spoken(name)) for name in names for template in templates]
    if label.definition.strip() and (any_language or _readable(label.definition)):
        texts.append(label.definition)
    if not texts:
        raise UsageError(
            f"the text model reads English only and cannot understand the label {label.name!r}",
            field="labels",
            remedy="Give the label an English prompt or definition.",
        )
    return texts


def _readable(text: str) -> bool:
    return any(character.isascii() and character.isalnum() for character in text)


def _spoken(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def label_embeddings(
    encoder: Family,
    labels: Sequence[Label],
    *,
    any_language: bool = False,
    templates: Sequence[str] = TEMPLATES,
) -> np.ndarray:
    """float32 (k, d), L2-normalised: the mean over each label's texts, encoded once and cached."""
    import numpy as np

    texts = [label_texts(label, any_language=any_language, templates=templates) for label in labels]
    encoded = cached_texts(encoder, [text for group in texts for text in group])
    edges = np.cumsum([0, *(len(group) for group in texts)])
    means = [encoded[a:b].mean(0) for a, b in itertools.pairwise(edges)]
    return normalise(np.stack(means))


def cached_texts(encoder: Family, texts: Sequence[str]) -> np.ndarray:
    """float32 (n, d) of these texts, from memory, from disk, or encoded now and kept."""
    key = hashlib.sha256("\0".join([encoder.fingerprint, *texts]).encode()).hexdigest()
    with _lock:
        if key not in _memory:
            file = paths.cache_dir() / "texts" / f"{key}.npy"
            found = _load(file, len(texts))
            if found is None:
                found = encoder.encode_texts(texts)
                _save(file, found)
            _memory[key] = found
        return _memory[key]


def _load(file: Path, count: int) -> np.ndarray | None:
    import numpy as np

    try:
        array: np.ndarray = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.warning("text cache %s is made again: %s", file.name, error)
        return None
    usable = array.ndim == 2 and len(array) == count and array.dtype == np.float32
    return array if usable and bool(np.isfinite(array).all()) else None


def _save(file: Path, array: np.ndarray) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array)
    try:
        paths.write_atomically(file, buffer.getvalue())
    except StorageError as error:
        # The cache only saves time; a full or read-only disk must not stop inference.
        log.warning("text cache is not kept: %s", error)


def normalise(rows: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32; a row of zeros stays zeros."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-12)).astype(np.float32)


# Classes that stand out so far for a label, in standard deviations, are the label or kinds of it.
_STANDS_FOR = 3.0


class ClassSpace:
    """A closed set of classes in text space: turns class probabilities into label scores.

    The method is ConSE (a picture is the mean of its classes' texts, weighted by their
    probabilities), with each label's similarity centred and scaled by its own mean and spread
    over all classes, so that labels that are close to everything do not always win.

    embeddings : float32 (c, d), L2-normalised, one row per class
    """

    def __init__(self, embeddings: np.ndarray) -> None:
        self.embeddings = embeddings

    def standardised(self, labels: np.ndarray) -> np.ndarray:
        """float32 (c, k): how far class c stands out for label k, in standard deviations."""
        import numpy as np

        similarity = self.embeddings @ labels.T
        spread = np.maximum(similarity.std(0), 1e-6)
        return ((similarity - similarity.mean(0)) / spread).astype(np.float32)

    def support(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float32 (n, k): the summed probability of the classes that are kinds of each label."""
        kinds = self.standardised(labels) >= _STANDS_FOR
        return probabilities @ kinds.astype(probabilities.dtype)

    def independent(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float32 (n, k), each label on its own: 0 where nothing speaks for it, 4 and more where
        the classes are the label."""
        return probabilities @ self.standardised(labels)

    def competing(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float32 (n, k) for choosing one of the labels; only differences mean something."""
        import numpy as np

        similarity = self.embeddings @ labels.T
        spread = np.maximum(similarity.std(0), 1e-6)
        pictures = normalise(probabilities @ self.embeddings)
        return ((pictures @ labels.T - similarity.mean(0)) / spread).astype(np.float32)
