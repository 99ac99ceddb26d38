"""Folders of torchvision's own detectors, made of the state dicts that torchvision publishes.

The layout is that of transformers as far as it goes: a `config.json` and safetensors. The pickle is
read with `weights_only=True`, which runs no code, and is not kept.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core import paths
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.errors import PackIntegrityError, UsageError
from vlmtool_core.records import Json

if TYPE_CHECKING:
    import torch

MODEL_TYPE = "torchvision-detector"
WEIGHTS = "model.safetensors"
# Arguments of torchvision's builders that a config may set.
OPTIONS = frozenset(
    {
        "min_size", "max_size", "box_score_thresh", "box_nms_thresh", "box_detections_per_img",
        "score_thresh", "nms_thresh", "detections_per_img", "topk_candidates",
    }
)  # fmt: skip
_BACKGROUND = ("__background__", "N/A")
# Published weights of these were trained with frozen norms that divide by the bare variance
# (torchvision sets their epsilon to 0 when it loads them); any other value moves every box.
_WITHOUT_EPSILON = (
    "fasterrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
)  # fmt: skip


def architectures() -> list[str]:
    """Names of the detectors that torchvision builds."""
    from torchvision.models import detection, list_models

    return list(list_models(module=detection))


def class_names(config: Mapping[str, Json]) -> dict[int, str]:
    """A model's classes by number, without the background and numbers that stand for nothing."""
    names = {int(number): str(name) for number, name in dict(config["id2label"]).items()}
    return {number: name for number, name in names.items() if name not in _BACKGROUND}


def build_detector(config: Mapping[str, Json]) -> torch.nn.Module:
    """The network that a `config.json` describes, without its weights.

    Raises
    ------
    UsageError : an architecture or an option that torchvision does not have.
    """
    import torch
    from torchvision.models import get_model

    name = str(config.get("architecture"))
    if name not in architectures():
        raise UsageError(
            f"torchvision has no detector {name!r}",
            field="architecture",
            remedy=f"Choose one of {', '.join(architectures())}.",
        )
    options: dict[str, Any] = dict(config.get("options") or {})
    if unknown := set(options) - OPTIONS:
        raise UsageError(
            f"unknown: {', '.join(sorted(unknown))}",
            field="options",
            remedy=f"Known are {', '.join(sorted(OPTIONS))}.",
        )
    classes = 1 + max(int(number) for number in dict(config["id2label"]))
    model = get_model(name, weights=None, weights_backbone=None, num_classes=classes, **options)
    epsilon = config.get("batch_norm_eps")
    if epsilon is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = float(epsilon)
    return model


def make_detector_folder(
    weights: Path, folder: Path, architecture: str, labels: Sequence[str] | None = None
) -> ModelFolder:
    """Convert a state dict (`.pth`) to a folder that `models add` takes.

    Parameters
    ----------
    labels : the classes in the order of training, without the background; those of COCO, which
        torchvision's published weights know, when None

    Raises
    ------
    UsageError : an unknown architecture, or the folder exists.
    PackIntegrityError : no plain state dict, or one of another network or number of classes.
    """
    from safetensors.torch import save_file

    if folder.exists() and any(folder.iterdir()):
        raise UsageError("the folder is not empty", path=folder, remedy="Choose a new one.")
    state = _read_state(weights)
    config: dict[str, Json] = {
        "model_type": MODEL_TYPE,
        "architecture": architecture,
        "weights": WEIGHTS,
    }
    names = _coco_classes(architecture) if labels is None else ["__background__", *labels]
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    frozen = not any(key.endswith("num_batches_tracked") for key in state)
    if frozen and architecture in _WITHOUT_EPSILON:
        config["batch_norm_eps"] = 0.0
    load_state(build_detector(config), state, weights)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    paths.write_atomically(folder / "config.json", text.encode())
    return ModelFolder(config, frozenset({"config.json", WEIGHTS}))


def load_state(model: torch.nn.Module, state: Mapping[str, Any], source: Path) -> None:
    """Put weights into a network.

    Raises
    ------
    PackIntegrityError : names or shapes are those of another network.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise PackIntegrityError(
            f"the weights are not of this network: {' '.join(lines)[:300]}",
            path=source,
            remedy="Check the architecture and the number of classes.",
        ) from error


def _read_state(weights: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        loaded = torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError("there is no such file", path=weights) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise PackIntegrityError(
            "holds no plain weights, or is damaged",
            path=weights,
            remedy="Download the file again, from where torchvision publishes it.",
        ) from error
    whole = isinstance(loaded, dict) and all(isinstance(v, torch.Tensor) for v in loaded.values())
    if not whole:
        raise PackIntegrityError("is no state dict", path=weights)
    return {str(name): value.contiguous().clone() for name, value in loaded.items()}


def _coco_classes(architecture: str) -> list[str]:
    """The names that go with torchvision's published weights; they come with torchvision."""
    from torchvision.models import get_model_weights

    if architecture not in architectures():
        build_detector({"architecture": architecture})
    names: list[str] = list(next(iter(get_model_weights(architecture))).meta["categories"])
    return names
