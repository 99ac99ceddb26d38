"""Tiny random detectors of a closed set of classes, each with the processor of its family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agreement import lively

CLASSES = {0: "cat", 1: "dog", 2: "remote_control"}
_SQUARE = {"height": 64, "width": 64}
_KEPT = {"shortest_edge": 96, "longest_edge": 240}
NAMES = {"id2label": CLASSES, "label2id": {name: n for n, name in CLASSES.items()}}
SMALL = {
    "d_model": 32, "num_queries": 12, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}  # fmt: skip
_HYBRID = {
    **SMALL, "encoder_hidden_dim": 32, "encoder_in_channels": [16, 24, 32],
    "decoder_in_channels": [32, 32, 32], "anchor_image_size": None, "num_denoising": 0,
}  # fmt: skip


def _resnet(**options: Any) -> Any:
    from transformers import ResNetConfig

    return ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        **{"out_features": ["stage4"], **options},
    )  # fmt: skip


def _rt_resnet() -> Any:
    from transformers import RTDetrResNetConfig

    return RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip


def _hgnet() -> Any:
    from transformers import HGNetV2Config

    return HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 16, 16, 24],
        stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[16, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
        hidden_sizes=[16, 16, 24, 32], depths=[1, 1, 1, 1], embedding_size=8,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip


def _detr(name: str, **options: Any) -> Any:
    import transformers

    config = getattr(transformers, f"{name}Config")
    return config(**{"backbone_config": _resnet(), **SMALL, **NAMES, **options})


def _hybrid(name: str, backbone: Any, **options: Any) -> Any:
    import transformers

    config = getattr(transformers, f"{name}Config")
    return config(**{"backbone_config": backbone, **_HYBRID, **NAMES, **options})


def _yolos() -> Any:
    from transformers import YolosConfig

    return YolosConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=[64, 96], patch_size=16, num_detection_tokens=10, **NAMES,
    )  # fmt: skip


def _rf_detr() -> Any:
    from transformers import RfDetrConfig
    from transformers.models.rf_detr.configuration_rf_detr import RfDetrDinov2Config

    backbone = RfDetrDinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8,
        out_features=["stage2"], num_windows=2, window_block_indexes=[0],
    )  # fmt: skip
    return RfDetrConfig(
        backbone_config=backbone, d_model=32, decoder_ffn_dim=32, decoder_layers=2,
        num_queries=12, group_detr=1, decoder_self_attention_heads=4,
        decoder_cross_attention_heads=4, projector_scale_factors=[1.0], **NAMES,
    )  # fmt: skip


def _lw_detr() -> Any:
    from transformers import LwDetrConfig
    from transformers.models.lw_detr.configuration_lw_detr import LwDetrViTConfig

    backbone = LwDetrViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=64,
        pretrain_image_size=64, patch_size=8, out_features=["stage2"], num_windows=4,
        window_block_indices=[0],
    )  # fmt: skip
    return LwDetrConfig(
        backbone_config=backbone, d_model=32, decoder_ffn_dim=32, decoder_layers=2,
        num_queries=12, group_detr=1, decoder_self_attention_heads=4,
        decoder_cross_attention_heads=4, projector_scale_factors=[1.0], **NAMES,
    )  # fmt: skip


# The config, the processor's class and its size, for each kind of model.
KINDS: dict[str, tuple[Callable[[], Any], str, dict[str, int]]] = {
    "detr": (lambda: _detr("Detr"), "DetrImageProcessor", _KEPT),
    "conditional_detr": (
        lambda: _detr("ConditionalDetr"), "ConditionalDetrImageProcessor", _KEPT,
    ),
    "deformable_detr": (
        lambda: _detr(
            "DeformableDetr", encoder_n_points=2, decoder_n_points=2, num_feature_levels=2
        ),
        "DeformableDetrImageProcessor", _KEPT,
    ),
    "dab_detr": (
        lambda: _detr("DabDetr", hidden_size=32), "ConditionalDetrImageProcessor", _KEPT,
    ),
    "yolos": (_yolos, "YolosImageProcessor", _KEPT),
    "rt_detr": (lambda: _hybrid("RTDetr", _rt_resnet()), "RTDetrImageProcessor", _SQUARE),
    "rt_detr_v2": (lambda: _hybrid("RTDetrV2", _rt_resnet()), "RTDetrImageProcessor", _SQUARE),
    "d_fine": (lambda: _hybrid("DFine", _hgnet()), "RTDetrImageProcessor", _SQUARE),
    "deimv2": (lambda: _hybrid("Deimv2", _hgnet()), "RTDetrImageProcessor", _SQUARE),
    "rf_detr": (_rf_detr, "RfDetrImageProcessor", _SQUARE),
    "lw_detr": (_lw_detr, "DeformableDetrImageProcessor", _SQUARE),
}  # fmt: skip


def save_detector(kind: str, folder: Path, **overrides: Any) -> Path:
    """A tiny model of this kind in the layout of transformers; returns its folder."""
    import transformers

    make, processor, size = KINDS[kind]
    config = make()
    for name, value in overrides.items():
        setattr(config, name, value)
    model = lively(transformers.AutoModelForObjectDetection.from_config(config))
    path = folder / kind
    model.save_pretrained(path)
    getattr(transformers, processor)(size=dict(size)).save_pretrained(path)
    return path
