"""Tiny random segmenters in folders as people download them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contrastive_models import stirred

SIDE = 64


def _sam(folder: Path, prefix: str, **vision: Any) -> Path:
    import transformers

    values = {
        "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8, "window_size": 4,
        "global_attn_indexes": [1], "mlp_dim": 32, "num_pos_feats": 8, **vision,
    }  # fmt: skip
    config = getattr(transformers, f"{prefix}Config")(
        vision_config=values,
        prompt_encoder_config={"hidden_size": 16, "image_size": SIDE, "patch_size": 8,
                               "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 16, "num_hidden_layers": 1, "mlp_dim": 16,
                             "num_attention_heads": 2, "iou_head_hidden_dim": 16,
                             **({"vit_dim": 16} if prefix == "SamHQ" else {})},
    )  # fmt: skip
    stirred(getattr(transformers, f"{prefix}Model")(config)).save_pretrained(folder)
    pictures = transformers.SamImageProcessor(
        size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
    )  # fmt: skip
    getattr(transformers, f"{prefix}Processor")(pictures).save_pretrained(folder)
    return folder


def sam(folder: Path) -> Path:
    return _sam(folder, "Sam")


def sam_hq(folder: Path) -> Path:
    return _sam(folder, "SamHQ")


def sam2(folder: Path) -> Path:
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2Model,
        Sam2Processor,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[SIDE, SIDE],
        patch_kernel_size=[3, 3], patch_stride=[2, 2], patch_padding=[1, 1],
        blocks_per_stage=[1, 2, 2, 1], embed_dim_per_stage=[8, 12, 16, 20],
        num_attention_heads_per_stage=[1, 1, 1, 1], window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[4], window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[20, 16, 12, 8], fpn_hidden_size=16,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 16, "image_size": SIDE, "patch_size": 8,
                               "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 16, "num_hidden_layers": 1, "mlp_dim": 16,
                             "num_attention_heads": 2, "iou_head_hidden_dim": 16},
    )  # fmt: skip
    stirred(Sam2Model(config)).save_pretrained(folder)
    pictures = Sam2ImageProcessor(
        size={"height": SIDE, "width": SIDE}, mask_size={"height": 16, "width": 16}
    )
    Sam2Processor(pictures, target_size=SIDE).save_pretrained(folder)
    return folder


def sam2_published(folder: Path) -> Path:
    """As the folders of SAM 2 on the hub: the config is that of the video model."""
    path = sam2(folder) / "config.json"
    config = json.loads(path.read_text())
    config |= {"model_type": "sam2_video", "architectures": ["Sam2VideoModel"]}
    path.write_text(json.dumps(config))
    return folder


BUILDERS = {"sam": sam, "sam-hq": sam_hq, "sam2": sam2, "sam2-published": sam2_published}
