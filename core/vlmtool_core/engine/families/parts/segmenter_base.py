"""What segmenters of the SAM kind share: a picture is encoded once, each prompt costs a decoder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily
from vlmtool_core.engine.pictures.rle import encode_mask, mask_area
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.errors import InferenceError
from vlmtool_core.records import (
    Frame,
    Json,
    Mask,
    Outcome,
    OutcomeStatus,
    SegmentPrompt,
    Task,
)


class Looked:
    """A picture as the model has seen it.

    size : (width, height) of the oriented source, what prompts and masks refer to
    seen : (width, height) in pixels of what the network got of it, without padding
    embeddings : what the decoder takes in place of pixels
    """

    def __init__(
        self, frame: Frame, seen: tuple[int, int], embeddings: Mapping[str, Any], key: str
    ) -> None:
        self.size = frame.size
        self.seen = seen
        self.embeddings = embeddings
        self.key = key


class SegmenterFamily(TransformersFamily):
    """Masks of what is pointed at. The embedding of the picture last looked at is kept."""

    tasks = (Task.SEGMENT,)
    auto_class = "AutoModelForMaskGeneration"
    _looked: Looked | None = None

    def decode_side(self, task: Task) -> int:  # noqa: ARG002
        return self.input_side

    @property
    def input_side(self) -> int:
        """The longer side of the network's input, in pixels."""
        raise NotImplementedError

    @torch.inference_mode()
    def segment(self, frame: Frame, prompts: Sequence[SegmentPrompt]) -> Outcome:
        looked = self._look(frame)
        masks = []
        for prompt in prompts:
            check_stopped()
            masks.append(self._mask(looked, prompt))
        provenance: dict[str, Json] = {"input": list(looked.seen), "prompts": len(masks)}
        found = any(mask_area(mask) for mask in masks)
        status = OutcomeStatus.OK if found else OutcomeStatus.EMPTY
        return Outcome(status, masks=tuple(masks), provenance=provenance)

    def _look(self, frame: Frame) -> Looked:
        digest = hashlib.blake2b(np.ascontiguousarray(frame.pixels).data, digest_size=16)
        key = f"{digest.hexdigest()} {frame.pixels.shape} {frame.size}"
        if self._looked is None or self._looked.key != key:
            self._looked = None  # its memory is needed for the new one
            pixels = np.require(frame.pixels, requirements="W")
            self._check_shape(pixels)
            inputs = self._processor(
                images=[pixels], return_tensors="pt", input_data_format="channels_last"
            )
            values = inputs["pixel_values"].to(self.device, self._model.dtype)
            seen = self._seen(inputs, values)
            self._looked = Looked(frame, seen, self._embeddings(values), key)
        return self._looked

    def _check_shape(self, pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        if round(min(height, width) * self.input_side / max(height, width)) < 1:
            raise InferenceError(
                f"a picture of {width} × {height} pixels is too thin for this model",
                remedy="Cut a part out of it.",
            )

    def _mask(self, looked: Looked, prompt: SegmentPrompt) -> Mask:
        output = self._model(
            **self._decoder_inputs(looked, prompt), **looked.embeddings, multimask_output=True
        )
        scores = output.iou_scores[0, 0].float()
        best = int(scores.argmax())
        logits = output.pred_masks[:, :, best : best + 1].float()
        pixels = self._at_source_size(logits, looked).cpu().numpy()
        score = min(1.0, max(0.0, float(scores[best])))
        return encode_mask(pixels, label=prompt.label, score=score)

    def _decoder_inputs(self, looked: Looked, prompt: SegmentPrompt) -> dict[str, torch.Tensor]:
        """The prompt in pixels of what the network got."""
        scale = np.array(looked.seen) / np.array(looked.size)
        inputs = {}
        if prompt.points:
            places = np.array([point[:2] for point in prompt.points]) * scale
            positive = [[[int(point[2]) for point in prompt.points]]]
            inputs["input_points"] = self._tensor(places[None, None])
            inputs["input_labels"] = torch.tensor(positive, device=self.device)
        if prompt.box is not None:
            corners = np.array(prompt.box).reshape(2, 2) * scale
            inputs["input_boxes"] = self._tensor(corners.reshape(1, 1, 4))
        return inputs

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device, self._model.dtype)

    def _seen(self, inputs: Any, values: torch.Tensor) -> tuple[int, int]:
        """(width, height) of what the network got of the picture."""
        raise NotImplementedError

    def _embeddings(self, values: torch.Tensor) -> Mapping[str, Any]:
        """What the decoder takes for pixel values (1, 3, h, w)."""
        return {"image_embeddings": self._model.get_image_embeddings(values)}

    def _at_source_size(self, logits: torch.Tensor, looked: Looked) -> torch.Tensor:
        """bool (h, w) at the source's size from mask logits (1, 1, 1, h, w)."""
        raise NotImplementedError
