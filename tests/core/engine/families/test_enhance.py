"""Derived pictures: Swin2SR against transformers, CLAHE and denoising against OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from contrastive_models import stirred
from PIL import Image

from vlmtool_core.engine.families.denoise import Denoise
from vlmtool_core.engine.runtime.stopping import stoppable
from vlmtool_core.errors import (
    BudgetExceededError,
    CancelledError,
    InferenceError,
    MissingPackError,
    TaskNotServedError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import Frame, Task


@pytest.fixture(scope="module", params=["pixelshuffle", "pixelshuffledirect", "nearest+conv"])
def folder(request, tmp_path_factory) -> Path:
    return swin2sr(tmp_path_factory.mktemp("models") / "swin", request.param)


def swin2sr(folder: Path, upsampler: str = "pixelshuffledirect") -> Path:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution, Swin2SRImageProcessor

    scale = 4 if upsampler == "nearest+conv" else 2
    config = Swin2SRConfig(
        embed_dim=12, depths=[2], num_heads=[2], window_size=4, image_size=16, mlp_ratio=2.0,
        upscale=scale, upsampler=upsampler,
    )  # fmt: skip
    stirred(Swin2SRForImageSuperResolution(config)).save_pretrained(folder)
    Swin2SRImageProcessor().save_pretrained(folder)
    return folder


def own_picture(folder: Path, frame: Frame) -> np.ndarray:
    """What transformers' own processor and model make, as their documentation shows it."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    model = transformers.Swin2SRForImageSuperResolution.from_pretrained(folder).eval()
    inputs = processor(Image.fromarray(frame.pixels), return_tensors="pt")
    with torch.inference_mode():
        made = model(**inputs).reconstruction[0].clamp(0, 1).permute(1, 2, 0).numpy()
    height, width = frame.pixels.shape[:2]
    scale = model.config.upscale
    return (made[: height * scale, : width * scale] * 255).round().astype(np.uint8)


def test_super_resolution_is_that_of_the_model(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    assert engine.store.pack("swin").tasks == (Task.ENHANCE,)
    for frame in odd_pictures:
        made = engine.enhance(frame, model="swin")
        scale = made.provenance["scale"]
        height, width = frame.pixels.shape[:2]
        assert made.pixels.shape == (height * scale, width * scale, 3)
        assert made.pixels.dtype == np.uint8
        if min(height, width) < 8:
            continue  # transformers' own padding cannot mirror so few pixels
        difference = np.abs(made.pixels.astype(int) - own_picture(folder, frame))
        assert difference.max() <= 1


def test_tiles_show_no_seams(tmp_path, engine_of, odd_pictures):
    engine = engine_of(swin2sr(tmp_path / "swin"))
    frame = odd_pictures[0]
    whole = engine.enhance(frame, model="swin").pixels
    tiled = engine.enhance(frame, model="swin", options={"tile": 32})
    assert tiled.provenance["settings"] == {"tile": 32}
    assert np.abs(whole.astype(int) - tiled.pixels).max() <= 1


def test_memory_is_bounded_by_the_tile(tmp_path, engine_of):
    engine = engine_of(swin2sr(tmp_path / "swin"))
    seen: list[int] = []
    model = engine.family("swin")._model
    hook = model.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["pixel_values"][0, 0].numel()), with_kwargs=True
    )
    engine.enhance(Frame(np.zeros((150, 260, 3), np.uint8)), model="swin", options={"tile": 64})
    hook.remove()
    assert len(seen) == 3 * 5
    assert max(seen) <= (64 + 2 * 16 + 8) ** 2


def test_an_enlarged_picture_too_large_is_refused(tmp_path, engine_of, monkeypatch):
    monkeypatch.setenv("VLMTOOL_HOME", str(tmp_path))
    engine = engine_of(swin2sr(tmp_path / "swin"))
    huge = Frame(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (60_000, 60_000, 3)))
    with pytest.raises(BudgetExceededError, match="120000 × 120000"):
        engine.enhance(huge, model="swin")


def test_clahe_changes_brightness_as_opencv_does(engine_of, odd_pictures):
    engine = engine_of()
    for frame in odd_pictures:
        made = engine.enhance(frame, model="clahe", options={"clip_limit": "3", "tiles": 4})
        assert made.pixels.shape == frame.pixels.shape
        assert made.provenance["settings"] == {"clip_limit": 3.0, "tiles": 4.0}
        assert made.provenance["model"] == "clahe"
        assert made.provenance["decoder"].startswith("Pillow")
        tiles = min(4, *frame.pixels.shape[:2])
        lab = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2LAB)
        lab[..., 0] = cv2.createCLAHE(3.0, (tiles, tiles)).apply(lab[..., 0].copy())
        np.testing.assert_array_equal(made.pixels, cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def test_clahe_raises_contrast_where_there_is_little(engine_of):
    rng = np.random.default_rng(1)
    dull = rng.integers(120, 136, (64, 64, 1), np.uint8).repeat(3, axis=2)
    made = engine_of().enhance(Frame(dull), model="clahe")
    assert made.pixels.std() > 1.5 * dull.std()


@pytest.mark.parametrize("grey", [True, False])
def test_denoising_removes_noise_and_strips_leave_no_trace(grey, engine_of, monkeypatch):
    rng = np.random.default_rng(2)
    clean = np.full((90, 70, 3), 120, np.uint8)
    clean[20:60, 10:50] = 160 if grey else (200, 90, 60)
    noise = rng.normal(0, 8, (90, 70, 1 if grey else 3))
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    engine = engine_of()
    whole = engine.enhance(Frame(noisy), model="denoise", options={"strength": 10}).pixels
    assert (
        np.abs(whole - clean.astype(float)).mean()
        < 0.5 * np.abs(noisy - clean.astype(float)).mean()
    )
    monkeypatch.setattr("vlmtool_core.engine.families.denoise._STRIP", 16)
    strips = engine.enhance(Frame(noisy), model="denoise", options={"strength": 10}).pixels
    np.testing.assert_array_equal(whole, strips)


def test_denoising_takes_every_picture(engine_of, odd_pictures):
    for frame in odd_pictures:
        made = engine_of().enhance(frame, model="denoise")
        assert made.pixels.shape == frame.pixels.shape
        assert made.pixels.dtype == np.uint8


def test_a_long_enhancement_can_be_stopped(engine_of, odd_pictures):
    cancel = CancelToken()
    cancel.cancel()
    with stoppable(cancel), pytest.raises(CancelledError):
        engine_of().enhance(odd_pictures[0], model="denoise")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 2}, "no such option"),
        ({"clip_limit": "much"}, "a number from 0.1 to 40"),
        ({"clip_limit": -1}, "a number from 0.1 to 40"),
        ({"clip_limit": float("nan")}, "a number from 0.1 to 40"),
        ({"tiles": 2.5}, "a whole number from 1 to 64"),
        ({"tiles": [3]}, "a whole number from 1 to 64"),
    ],
)
def test_wrong_options_are_named(options, message, engine_of, odd_pictures):
    with pytest.raises(UsageError, match=message):
        engine_of().enhance(odd_pictures[0], model="clahe", options=options)


def test_what_else_is_refused(engine_of, odd_pictures):
    engine = engine_of()
    with pytest.raises(MissingPackError) as missing:
        engine.enhance(odd_pictures[0])
    assert "clahe" in missing.value.remedy
    with pytest.raises(TaskNotServedError):
        engine.classify(odd_pictures, model="clahe")
    with pytest.raises(InferenceError):
        engine.enhance(Frame(np.zeros((0, 5, 3), np.uint8)), model="clahe")
    assert engine.family("denoise").__class__ is Denoise
