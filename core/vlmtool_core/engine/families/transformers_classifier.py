"""Image classifiers and bare backbones of transformers (ViT, DINO, ConvNeXt, Swin, ResNet, ...)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily, pooled
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import embedding_outcome, ranked_outcome
from vlmtool_core.engine.texts.label_sets import softmax_by_set
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, Outcome, Task

# Their heads classify sequences of tokens, not pixels.
_NO_PIXELS_IN = ("imagegpt", "shieldgemma2")


@register_family("transformers-classifier")
class TransformersClassifier(TransformersFamily):
    """A classifier over the classes it was trained on; without a head it only embeds.

    heads : parts of the names of architectures that classify
    model_types : backbones that are served without a head, too
    """

    tasks = (Task.CLASSIFY, Task.EMBED)
    made_while_decoding = (Task.CLASSIFY, Task.EMBED)
    heads: ClassVar[tuple[str, ...]] = (
        "ForImageClassification", "ForImageClassificationWithTeacher",
    )  # fmt: skip
    model_types: ClassVar[tuple[str, ...]] = (
        "beit", "bit", "convnext", "convnextv2", "data2vec-vision", "deit", "dinov2",
        "dinov2_with_registers", "dinov3_convnext", "dinov3_vit", "efficientnet", "focalnet",
        "hgnet_v2", "hiera", "ijepa", "mobilenet_v1", "mobilenet_v2", "mobilevit", "mobilevitv2",
        "poolformer", "pvt_v2", "regnet", "resnet", "swin", "swinv2", "vit", "vit_msn",
    )  # fmt: skip

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        if cls._has_head(folder):
            return True
        if folder.model_type not in cls.model_types:
            return False
        backbone = MODEL_MAPPING_NAMES[folder.model_type]
        return not folder.architectures or backbone in folder.architectures

    @classmethod
    def tasks_of(cls, folder: ModelFolder) -> tuple[Task, ...]:
        return cls.tasks if cls._has_head(folder) else (Task.EMBED,)

    @classmethod
    def _has_head(cls, folder: ModelFolder) -> bool:
        return folder.model_type not in _NO_PIXELS_IN and any(
            name.endswith(cls.heads) for name in folder.architectures
        )

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        headed = Task.CLASSIFY in pack.tasks
        self.auto_class = "AutoModelForImageClassification" if headed else "AutoModel"
        super().__init__(pack, surroundings)
        self._head: Any = _last_linear(self._model) if headed else None

    def decode_side(self, task: Task) -> int:
        return self._decode_side(task)

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """The model's own classes; where two share a name, their numbers tell them apart."""
        config = self._model.config
        names = [str(config.id2label.get(n, n)) for n in range(config.num_labels)]
        return tuple(f"{x} ({n})" if names.count(x) > 1 else x for n, x in enumerate(names))

    @torch.inference_mode()
    def classify(
        self, frames: Sequence[Frame], labels: Sequence[Label] | None, *, exclusive: bool
    ) -> list[Outcome]:
        if Task.CLASSIFY not in self.pack.tasks:
            raise self._not_served(Task.CLASSIFY)
        columns = self._columns(labels)
        logits = self._model(**self._inputs(frames)).logits.float()[:, columns]
        chosen = [Label(self.class_names[n]) for n in columns] if labels is None else labels
        if exclusive and not (labels is None and self._classes_overlap):
            scores = softmax_by_set(logits.cpu().numpy(), chosen)
        else:
            scores = logits.sigmoid().cpu().numpy()
        names = [label.name for label in chosen]
        return [ranked_outcome(names, row, self._provenance()) for row in scores]

    @property
    def _classes_overlap(self) -> bool:
        """Whether the model was trained to say yes or no to each class on its own."""
        config = self._model.config
        return config.num_labels == 1 or config.problem_type == "multi_label_classification"

    def _columns(self, labels: Sequence[Label] | None) -> list[int]:
        if labels is None:
            return list(range(len(self.class_names)))
        known = {name: n for n, name in enumerate(self.class_names)}
        unknown = [label.name for label in labels if label.name not in known]
        if unknown:
            raise UsageError(
                f"{self.pack.id} knows only its own {len(known)} classes, not {unknown[0][:60]!r}",
                field="labels",
                remedy="Leave the labels out, or choose a model that takes any labels.",
            )
        return [known[label.name] for label in labels]

    def embed(self, frames: Sequence[Frame]) -> list[Outcome]:
        return [embedding_outcome(row, self._provenance()) for row in self._features(frames)]

    @functools.cached_property
    def embedding_size(self) -> int:
        return int(self._features([Frame(np.zeros((32, 32, 3), np.uint8))]).shape[1])

    @torch.inference_mode()
    def _features(self, frames: Sequence[Frame]) -> np.ndarray:
        """float32 (n, d), L2-normalised: what the classifier reads, or the backbone's summary."""
        inputs = self._inputs(frames)
        features = self._summary(inputs) if self._head is None else self._read_by_head(inputs)
        return torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy()

    def _read_by_head(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        read: list[torch.Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        try:
            self._model(**inputs)
        finally:
            hook.remove()
        features = read[-1]
        return features.flatten(1, -2).mean(dim=1) if features.ndim > 2 else features

    def _summary(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        output = self._model(**inputs)
        if not hasattr(getattr(self._model, "pooler", None), "dense"):
            return pooled(output)
        # Such a pooler is mostly untrained, in some folders even random; the class token is what
        # the authors read.
        hidden: torch.Tensor = output.last_hidden_state
        has_class_token = hasattr(self._model.embeddings, "cls_token")
        return hidden[:, 0] if has_class_token else hidden.mean(dim=1)


def _last_linear(model: Any) -> Any:
    """The layer that makes the logits, None where it is no linear one."""
    layers = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == model.config.num_labels
    ]
    return layers[-1] if layers else None
