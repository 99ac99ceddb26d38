"""Several label sets in one run: one forward pass, and one softmax for each set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlmtool_core.records import Label

if TYPE_CHECKING:
    import numpy as np


def softmax_by_set(logits: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """float32 (n, k): probabilities that sum to 1 over the labels of each label set.

    Parameters
    ----------
    logits : (n, k), one column per label
    labels : k labels; those with the same `label_set` exclude one another
    """
    import numpy as np

    probabilities = np.empty(logits.shape, np.float32)
    for name in dict.fromkeys(label.label_set for label in labels):
        columns = [n for n, label in enumerate(labels) if label.label_set == name]
        some = logits[:, columns]
        raised = np.exp(some - some.max(axis=1, keepdims=True))
        probabilities[:, columns] = raised / raised.sum(axis=1, keepdims=True)
    return probabilities
