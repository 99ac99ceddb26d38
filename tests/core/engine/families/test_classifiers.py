"""Closed classifiers and backbones against transformers' and timm's own forward pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contrastive_models import TEXT, VISION, stirred
from PIL import Image

from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.errors import TaskNotServedError, UsageError
from vlmtool_core.records import Frame, Label, OutcomeStatus, Task

NAMES = {0: "cat", 1: "dog", 2: "bird"}
CLASSES: dict[str, Any] = {"id2label": NAMES, "label2id": {v: k for k, v in NAMES.items()}}
STAGES = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
SWIN = {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "patch_size": 2}
CONV = {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2}
SIZE = {"height": 32, "width": 32}

# model, config's values, image processor
HEADED: dict[str, tuple[str, dict[str, Any], str]] = {
    "vit": ("ViT", VISION, "ViTImageProcessor"),
    "dinov2": ("Dinov2", VISION, "BitImageProcessor"),
    "convnext": ("ConvNext", CONV, "ConvNextImageProcessor"),
    "convnextv2": ("ConvNextV2", CONV, "ConvNextImageProcessor"),
    "swin": ("Swin", {**SWIN, "image_size": 32}, "ViTImageProcessor"),
    "swinv2": ("Swinv2", {**SWIN, "image_size": 32}, "ViTImageProcessor"),
    "resnet": ("ResNet", {**STAGES, "layer_type": "basic"}, "ConvNextImageProcessor"),
    "beit": ("Beit", VISION, "BeitImageProcessor"),
    "clip": ("CLIP", {"vision_config": VISION, "text_config": TEXT}, "CLIPImageProcessor"),
    "siglip": ("Siglip", {"vision_config": VISION, "text_config": TEXT}, "SiglipImageProcessor"),
}
HEADLESS: dict[str, tuple[str, dict[str, Any], str]] = {
    "rad-dino": ("Dinov2", VISION, "BitImageProcessor"),
    "dinov3-vit": ("DINOv3ViT", {**VISION, "num_register_tokens": 2}, "DINOv3ViTImageProcessor"),
    "dinov3-convnext": (
        "DINOv3ConvNext", {"hidden_sizes": [8, 12, 16, 16], "depths": [1, 1, 1, 1]},
        "DINOv3ViTImageProcessor",
    ),
    "bare-vit": ("ViT", VISION, "ViTImageProcessor"),
    "bare-swin": ("Swin", {**SWIN, "image_size": 32}, "ViTImageProcessor"),
    "bare-convnext": ("ConvNext", CONV, "ConvNextImageProcessor"),
}  # fmt: skip


def save(folder: Path, kind: tuple[str, dict[str, Any], str], ending: str, **more: Any) -> Path:
    import transformers

    name, values, processor = kind
    config = getattr(transformers, f"{name}Config")(**values, **more)
    stirred(getattr(transformers, name + ending)(config)).save_pretrained(folder)
    crop = {"crop_size": SIZE} if processor in ("BitImageProcessor", "CLIPImageProcessor") else {}
    size = {"shortest_edge": 32} if crop or processor.startswith("ConvNext") else SIZE
    getattr(transformers, processor)(size=size, **crop).save_pretrained(folder)
    return folder


def own_output(folder: Path, frames: list[Frame], auto: str) -> Any:
    import transformers

    model = getattr(transformers, auto).from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pictures = [Image.fromarray(frame.pixels) for frame in frames]
    with torch.inference_mode():
        return model(**processor(images=pictures, return_tensors="pt"))


def normalised(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows.flatten(1), dim=1).numpy()


def rows_of(outcomes: list[Any], names: list[str]) -> np.ndarray:
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.OK}
    return np.array([[{s.label: s.score for s in o.scores}[n] for n in names] for o in outcomes])


def embeddings(outcomes: list[Any]) -> np.ndarray:
    return np.stack([outcome.embedding for outcome in outcomes])


@pytest.mark.parametrize("name", HEADED)
def test_own_classes_are_the_models_softmax(name, tmp_path, engine_of, odd_pictures):
    folder = save(tmp_path / name, HEADED[name], "ForImageClassification", **CLASSES)
    engine = engine_of(folder)
    found = rows_of(engine.classify(odd_pictures, model=name), list(NAMES.values()))
    logits = own_output(folder, odd_pictures, "AutoModelForImageClassification").logits
    np.testing.assert_allclose(found, logits.softmax(1), atol=1e-4)
    assert np.ptp(found, axis=0).max() > 1e-3  # the pictures differ to this model
    rows = embeddings(engine.embed(odd_pictures, model=name))
    assert rows.shape == (len(odd_pictures), engine.embedding_size(name))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["vit", "dinov2", "swin", "resnet", "clip"])
def test_the_embedding_of_a_classifier_is_what_its_head_reads(
    name, tmp_path, engine_of, odd_pictures
):
    import transformers

    folder = save(tmp_path / name, HEADED[name], "ForImageClassification", **CLASSES)
    rows = embeddings(engine_of(folder).embed(odd_pictures, model=name))
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    head = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    logits = own_output(folder, odd_pictures, "AutoModelForImageClassification").logits
    centred = (logits - head.bias).detach().numpy()
    directions = rows @ head.weight.detach().numpy().T
    lengths = (centred * directions).sum(1) / (directions**2).sum(1)
    np.testing.assert_allclose(centred, directions * lengths[:, None], atol=1e-4)


@pytest.mark.parametrize("name", HEADLESS)
def test_a_backbone_embeds_and_does_not_classify(name, tmp_path, engine_of, odd_pictures):
    folder = save(tmp_path / name, HEADLESS[name], "Model")
    engine = engine_of(folder)
    assert engine.store.pack(name).tasks == (Task.EMBED,)
    rows = embeddings(engine.embed(odd_pictures, model=name))
    output = own_output(folder, odd_pictures, "AutoModel")
    summary = output.last_hidden_state[:, 0] if name == "bare-vit" else output.pooler_output
    np.testing.assert_allclose(rows, normalised(summary), atol=1e-4)
    with pytest.raises(TaskNotServedError, match="not classify"):
        engine.classify(odd_pictures, model=name)


def test_trap_a_missing_pooler_is_random_and_not_read(tmp_path, engine_of, odd_pictures):
    """DINO's own ViT folders have no pooler; transformers makes one up at each loading."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    folder = tmp_path / "dino-vit"
    stirred(ViTModel(ViTConfig(**VISION), add_pooling_layer=False)).save_pretrained(folder)
    ViTImageProcessor(size=SIZE).save_pretrained(folder)
    engine = engine_of(folder)
    first = embeddings(engine.embed(odd_pictures, model="dino-vit"))
    engine.unload()
    torch.manual_seed(99)
    np.testing.assert_allclose(
        first, embeddings(engine.embed(odd_pictures, model="dino-vit")), atol=1e-6
    )


@pytest.mark.parametrize(
    ("more", "count"),
    [({**CLASSES, "problem_type": "multi_label_classification"}, 3), ({"num_labels": 1}, 1)],
)
def test_classes_that_do_not_exclude_one_another(more, count, tmp_path, engine_of, odd_pictures):
    folder = save(tmp_path / "chest", HEADED["vit"], "ForImageClassification", **more)
    outcomes = engine_of(folder).classify(odd_pictures, model="chest")
    logits = own_output(folder, odd_pictures, "AutoModelForImageClassification").logits
    names = list(NAMES.values()) if count == 3 else ["LABEL_0"]
    np.testing.assert_allclose(rows_of(outcomes, names), logits.sigmoid(), atol=1e-4)


def test_some_of_the_classes_and_classes_of_one_name(tmp_path, engine_of, odd_pictures):
    more = {"id2label": {0: "crane", 1: "crane", 2: "bird"}, "label2id": {"crane": 0, "bird": 2}}
    folder = save(tmp_path / "vit", HEADED["vit"], "ForImageClassification", **more)
    engine = engine_of(folder)
    names = ["crane (0)", "crane (1)", "bird"]
    every = rows_of(engine.classify(odd_pictures, model="vit"), names)
    some = engine.classify(odd_pictures, [Label(n) for n in names[1:]], model="vit")
    expected = every[:, 1:] / every[:, 1:].sum(1, keepdims=True)
    np.testing.assert_allclose(rows_of(some, names[1:]), expected, atol=1e-5)
    with pytest.raises(UsageError, match="its own 3 classes"):
        engine.classify(odd_pictures, [Label("猫")], model="vit")


def timm_folder(folder: Path, *, classes: int, published: bool) -> Path:
    """A folder as timm itself pushes it (no `model_type`), or as transformers saves it."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification, TimmWrapperModel

    kind = TimmWrapperForImageClassification if classes else TimmWrapperModel
    values = {
        "architecture": "test_resnet", "num_classes": classes, "num_features": 384,
        "label_names": list(NAMES.values())[:classes],
        "pretrained_cfg": {
            "input_size": [3, 64, 64], "crop_pct": 0.9, "interpolation": "bicubic",
            "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "fixed_input_size": False,
        },
    }  # fmt: skip
    config = TimmWrapperConfig.from_dict({**values, "model_type": "timm_wrapper"})
    stirred(kind(config)).save_pretrained(folder)
    if published:
        (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("published", [True, False])
def test_any_timm_model(published, tmp_path, engine_of, odd_pictures):
    folder = timm_folder(tmp_path / "timm-net", classes=3, published=published)
    assert ("model_type" in json.loads((folder / "config.json").read_text())) != published
    engine = engine_of(folder)
    found = rows_of(engine.classify(odd_pictures, model="timm-net"), list(NAMES.values()))
    logits = own_output(folder, odd_pictures, "AutoModelForImageClassification").logits
    np.testing.assert_allclose(found, logits.softmax(1), atol=1e-4)
    outcome = engine.embed(odd_pictures, model="timm-net")[0]
    assert outcome.provenance["processor"]["mean"] == [0.4, 0.5, 0.6]
    pooled = own_output(folder, odd_pictures, "AutoModel").pooler_output
    np.testing.assert_allclose(outcome.embedding, normalised(pooled)[0], atol=1e-4)


def test_a_timm_model_without_classes_embeds(tmp_path, engine_of, odd_pictures):
    folder = timm_folder(tmp_path / "features", classes=0, published=True)
    engine = engine_of(folder)
    rows = embeddings(engine.embed(odd_pictures, model="features"))
    pooled = own_output(folder, odd_pictures, "AutoModel").pooler_output
    np.testing.assert_allclose(rows, normalised(pooled), atol=1e-4)
    with pytest.raises(TaskNotServedError):
        engine.classify(odd_pictures, model="features")


def test_every_model_type_with_a_head_has_a_family():
    from transformers.models.auto import modeling_auto

    for model_type, names in modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.items():
        if model_type[:1].isupper() or model_type == "timm_wrapper":
            continue  # the former are keys by class, of which transformers has two
        name = names if isinstance(names, str) else names[0]
        found = family_of_folder(ModelFolder({"model_type": model_type, "architectures": [name]}))
        if model_type in ("imagegpt", "perceiver", "shieldgemma2"):
            assert found is None or found.name != "transformers-classifier"
        else:
            assert found is not None, model_type
            assert found.name == "transformers-classifier"


@pytest.mark.parametrize("name", ["resnet", "convnext", "dinov2", "clip"])
@pytest.mark.parametrize("shape", [(1, 1501, 3), (2000, 2, 3)])
def test_of_a_strip_only_the_middle_is_made_large(name, shape, tmp_path, engine_of):
    frame = Frame(np.random.default_rng(1).integers(0, 255, shape, np.uint8))
    folder = save(tmp_path / name, HEADED[name], "ForImageClassification", **CLASSES)
    engine = engine_of(folder)
    found = rows_of(engine.classify([frame], model=name), list(NAMES.values()))
    logits = own_output(folder, [frame], "AutoModelForImageClassification").logits
    np.testing.assert_allclose(found, logits.softmax(1), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1, 3)])
def test_a_strip_of_20000_pixels_takes_no_gigabytes(shape, tmp_path, engine_of, monkeypatch):
    from transformers import CLIPImageProcessor

    folder = save(tmp_path / "clip", HEADED["clip"], "ForImageClassification", **CLASSES)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE).save_pretrained(folder)
    largest: list[int] = []
    resize = CLIPImageProcessor.resize

    def watched(self: Any, image: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        made = resize(self, image, *args, **options)
        largest.append(made.numel())
        return made

    monkeypatch.setattr(CLIPImageProcessor, "resize", watched)
    outcome = engine_of(folder).classify([Frame(np.zeros(shape, np.uint8))], model="clip")[0]
    assert outcome.status is OutcomeStatus.OK
    assert max(largest) <= 3 * 32 * 32 * 65
