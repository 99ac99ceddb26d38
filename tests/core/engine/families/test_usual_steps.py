"""Inputs made while decoding equal the image processor's own, whatever the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    CLIPImageProcessor,
    DetrImageProcessor,
    Siglip2ImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)

from vlmtool_core.engine.families.parts.usual_steps import UsualSteps
from vlmtool_core.engine.pictures.image_input import ImageInput

USUAL = {
    "clip": CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
    "clip, larger crop": CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 40, "width": 40}
    ),
    "siglip": SiglipImageProcessor(size={"height": 32, "width": 32}),
    "vit": ViTImageProcessor(size={"height": 24, "width": 32}),
}


@pytest.mark.parametrize("processor", USUAL.values(), ids=USUAL)
def test_inputs_are_those_of_the_processor(processor, odd_pictures):
    steps = UsualSteps.of(processor)
    assert steps is not None
    made = ImageInput("model", steps.side, steps.square).stack(odd_pictures)
    assert made.dtype == np.uint8
    ours = steps.normalised(made, "cpu", torch.float32)
    images = [frame.pixels for frame in odd_pictures]
    theirs = processor(images=images, return_tensors="pt", input_data_format="channels_last")
    # Equal to the last bit; a step of 1/255 is the most that resizing could round differently.
    torch.testing.assert_close(ours, theirs["pixel_values"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "processor",
    [
        Siglip2ImageProcessor(),
        DetrImageProcessor(),
        CLIPImageProcessor(do_center_crop=False),
        CLIPImageProcessor(do_normalize=False),
    ],
    ids=["patches", "padded", "any shape", "not normalised"],
)
def test_other_processors_are_left_alone(processor):
    assert UsualSteps.of(processor) is None


def test_a_frame_is_made_ready_once_and_keeps_its_size(odd_pictures):
    calls = []

    def square(pixels):
        calls.append(pixels.shape)
        return np.zeros((4, 4, 3), np.uint8)

    made = ImageInput("model", 4, square)
    ready = made.frame(odd_pictures[0])
    assert made.frame(ready) is ready
    assert len(calls) == 1
    assert ready.size == odd_pictures[0].size
    assert ready.input_of == "model"
    assert ImageInput("other", 4, square).frame(ready).input_of == "other"


def test_a_photograph_decoded_small_gives_nearly_the_same_input(tmp_path: Path) -> None:
    from PIL import Image
    from skimage import data

    from vlmtool_core.media.pictures.images import ImageSource

    steps = UsualSteps.of(CLIPImageProcessor())
    assert steps is not None
    differences = []
    for name in ("astronaut", "coffee", "chelsea"):
        picture = Image.fromarray(getattr(data, name)())
        picture = picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "a.jpg", quality=92)
        with ImageSource(tmp_path / "a.jpg") as source:
            small = source.reduced(0, 336)
            whole = source.frame(0)
        assert min(whole.pixels.shape[:2]) >= 4 * min(small.pixels.shape[:2])
        assert min(small.pixels.shape[:2]) >= 336
        assert small.size == whole.size
        difference = steps.square(small.pixels).astype(int) - steps.square(whole.pixels)
        differences.append((np.abs(difference).mean(), np.abs(difference).max()))
    means, most = zip(*differences, strict=True)
    assert max(means) < 1.2
    assert max(most) < 16
