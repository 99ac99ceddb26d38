"""How detectors are compared with transformers' own model and post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmtool_core.records import Box, Frame, Outcome, OutcomeStatus

PIXELS, SCORE = 0.5, 1e-4


def size_of(frame: Frame) -> tuple[int, int]:
    """(height, width), the order that transformers wants."""
    return frame.size[1], frame.size[0]


def picture_inputs(processor: Any, frame: Frame, **texts: Any) -> Any:
    return processor(
        images=[frame.pixels], return_tensors="pt", input_data_format="channels_last", **texts
    )


def expected_boxes(result: dict[str, Any], names: Sequence[str], frame: Frame) -> list[Box]:
    """transformers' boxes, clipped to the picture as ours are; empty ones left out."""
    width, height = frame.size
    boxes = []
    for xyxy, score, name in zip(
        result["boxes"].tolist(), result["scores"].tolist(), names, strict=True
    ):
        x1, x2 = (min(max(v, 0.0), width) for v in xyxy[0::2])
        y1, y2 = (min(max(v, 0.0), height) for v in xyxy[1::2])
        if x2 > x1 and y2 > y1:
            boxes.append(Box(x1, y1, x2, y2, name, score))
    return boxes


def assert_agree(outcome: Outcome, expected: Sequence[Box]) -> None:
    """The same boxes within half a pixel, scores within 1e-4, the same labels."""
    assert outcome.status is (OutcomeStatus.OK if expected else OutcomeStatus.EMPTY), outcome.error
    assert len(outcome.boxes) == len(expected)
    left = list(outcome.boxes)
    for box in expected:
        same = [
            other for other in left
            if other.label == box.label
            and abs((other.score or 0) - (box.score or 0)) < SCORE
            and np.abs(np.subtract(other.xyxy, box.xyxy)).max() < PIXELS
        ]  # fmt: skip
        assert same, f"no box like {box} among {left[:5]}"
        left.remove(same[0])


def lively(model: Any, seed: int = 3) -> Any:
    """The model with weights as large as a trained one's: as they are first made, all places say
    nearly the same, and no comparison of boxes would prove anything."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            weight = getattr(module, "weight", None)
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                weight.normal_(std=1.2 / weight[0].numel() ** 0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.2)
            elif isinstance(module, torch.nn.Embedding):
                weight.normal_()
    return model.eval()
