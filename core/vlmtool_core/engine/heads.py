"""A trained linear head over a pack's embeddings, saved as safetensors with a checked hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.engine.results import ranked_outcome
from vlmtool_core.errors import FormatError, PackIntegrityError
from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Outcome

if TYPE_CHECKING:
    import numpy as np

_WEIGHTS, _CARD, _FORMAT = "head.safetensors", "head.json", 1


@dataclass(frozen=True, eq=False)
class ProbeHead:
    """Linear probe: probabilities of labels from L2-normalised embeddings.

    weight : float32 (k, d); bias : float32 (k,)
    temperature : logits are divided by it (calibration), above 0
    exclusive : softmax over the labels, else independent sigmoids
    pack, pack_fingerprint : whose embeddings it was trained on
    """

    labels: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray
    temperature: float
    exclusive: bool
    pack: str
    pack_fingerprint: str

    def __post_init__(self) -> None:
        count = len(self.labels)
        shapes = (self.weight.ndim, self.weight.shape[:1], self.bias.shape)
        if shapes != (2, (count,), (count,)):
            raise ValueError(
                f"expected weight ({count}, d) and bias ({count},), "
                f"got {self.weight.shape} and {self.bias.shape}"
            )
        if not self.temperature > 0:
            raise ValueError(f"expected a temperature above 0, got {self.temperature}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, labels, calibration and the pack."""
        import numpy as np

        digest = hashlib.sha256(json.dumps(self._card(), sort_keys=True).encode())
        for array in (self.weight, self.bias):
            digest.update(np.ascontiguousarray(array, dtype=np.float32).tobytes())
        return digest.hexdigest()

    def probabilities(self, embeddings: np.ndarray) -> np.ndarray:
        """float32 (n, k) in [0, 1] of float32 (n, d) embeddings."""
        import numpy as np

        logits = (embeddings @ self.weight.T + self.bias) / self.temperature
        if self.exclusive:
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
        return sigmoid(logits)

    def outcomes(self, embedded: Sequence[Outcome]) -> list[Outcome]:
        """All scores of each embedded frame, best first; what could not be embedded stays so."""
        import numpy as np

        rows = [outcome.embedding for outcome in embedded if outcome.embedding is not None]
        probabilities = iter(self.probabilities(np.stack(rows)) if rows else ())
        return [
            outcome
            if outcome.embedding is None
            else ranked_outcome(self.labels, next(probabilities), outcome.provenance)
            for outcome in embedded
        ]

    def save(self, folder: Path) -> None:
        """Write the head into `folder`, the card last: without it there is no head.

        Raises
        ------
        StorageError : the disk is full or read-only.
        """
        import numpy as np
        from safetensors.numpy import save

        tensors = {
            "weight": np.ascontiguousarray(self.weight, dtype=np.float32),
            "bias": np.ascontiguousarray(self.bias, dtype=np.float32),
        }
        weights = save(tensors)
        card = {
            "format": _FORMAT,
            **self._card(),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        write_atomically(folder / _WEIGHTS, weights)
        text = json.dumps(card, ensure_ascii=False, indent=2)
        write_atomically(folder / _CARD, text.encode())

    @classmethod
    def load(cls, folder: Path) -> ProbeHead:
        """Read a head and check its hash.

        Raises
        ------
        PackIntegrityError : a file is missing or the weights have changed.
        FormatError : the card lacks a field or was written by a newer version.
        """
        from safetensors.numpy import load

        card = _read_card(folder / _CARD)
        weights = _read(folder / _WEIGHTS)
        if hashlib.sha256(weights).hexdigest() != card.get("weights_sha256"):
            raise PackIntegrityError(
                "the trained weights have changed",
                path=folder / _WEIGHTS,
                remedy="Use another model version, or train again.",
            )
        tensors = load(weights)
        try:
            return cls(
                labels=tuple(card["labels"]),
                weight=tensors["weight"],
                bias=tensors["bias"],
                temperature=float(card["temperature"]),
                exclusive=bool(card["exclusive"]),
                pack=card["pack"],
                pack_fingerprint=card["pack_fingerprint"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"damaged: {error}", path=folder / _CARD) from error

    def _card(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels),
            "temperature": self.temperature,
            "exclusive": self.exclusive,
            "pack": self.pack,
            "pack_fingerprint": self.pack_fingerprint,
        }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackIntegrityError(
            f"cannot be read: {error.strerror}",
            path=path,
            remedy="Use another model version, or train again.",
        ) from error


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(_read(path).decode("utf-8"))
    except ValueError as error:
        raise FormatError(f"damaged: {error}", path=path) from error
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise FormatError("no head of this version", path=path, field="format")
    return card


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], without overflow."""
    import numpy as np

    return (0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.float32)
