"""What the network sees: parity with timm's own transform, odd shapes, boxes back to the source."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_core.engine.pictures.geometry import overlap, source_box, suppress
from vlmtool_core.engine.pictures.preprocessing import Preprocessing, check_frame, scale_to_source
from vlmtool_core.errors import InferenceError
from vlmtool_core.records import Frame

LITE2 = Preprocessing(260, 0.89)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_parity_with_timms_transform(photo, name):
    from PIL import Image
    from timm.data import create_transform

    frame = photo(name)
    transform = create_transform(
        260, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=0.89
    )
    wanted = transform(Image.fromarray(frame.pixels)).numpy()
    got = LITE2.batch([frame], "cpu")[0].numpy()
    assert got.shape == wanted.shape == (3, 260, 260)
    # One step of uint8 is 1/127.5; rounding may differ where rows are resampled before columns.
    assert np.abs(got - wanted).max() <= 2.01 / 127.5
    assert np.abs(got - wanted).mean() < 0.05 / 127.5


def test_the_tensor_is_normalised_and_channels_last():
    import torch

    frame = Frame(np.full((300, 400, 3), (0, 127.5, 255), np.float32).astype(np.uint8))
    batch = LITE2.batch([frame, frame], "cpu")
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.shape == (2, 3, 260, 260)
    np.testing.assert_allclose(batch[0, 0].numpy(), -1)
    np.testing.assert_allclose(batch[0, 2].numpy(), 1)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_becomes_a_square(width, height):
    frame = Frame(np.full((height, width, 3), 7, np.uint8), source_size=(width * 3, height * 5))
    assert (LITE2.square(frame.pixels) == 7).all()
    x1, y1, x2, y2 = LITE2.provenance(frame)["crop"]
    assert 0 <= x1 < x2 <= width * 3
    assert 0 <= y1 < y2 <= height * 5


_side = st.integers(1, 4000)


@given(_side, _side, st.floats(0.1, 8), st.lists(st.floats(-0.5, 1.5), min_size=4, max_size=4))
def test_boxes_land_inside_the_source_at_the_right_place(width, height, factor, parts):
    shown_width, shown_height = max(1, round(width / factor)), max(1, round(height / factor))
    pixels = np.broadcast_to(np.zeros(3, np.uint8), (shown_height, shown_width, 3))
    frame = Frame(pixels, source_size=(width, height))
    x1, x2 = sorted(parts[:2])
    y1, y2 = sorted(parts[2:])
    xyxy = np.array([x1 * shown_width, y1 * shown_height, x2 * shown_width, y2 * shown_height])
    box = source_box(xyxy, "thing", 0.5, frame)
    clipped = (max(x1, 0), max(y1, 0), min(x2, 1), min(y2, 1))
    if box is None:
        assert clipped[2] - clipped[0] <= 1e-9 or clipped[3] - clipped[1] <= 1e-9
    else:
        scale = np.array([width, height, width, height])
        np.testing.assert_allclose(box.xyxy, np.array(clipped) * scale, atol=1e-6 * scale.max())


def test_scale_uses_the_source_size():
    frame = Frame(np.zeros((10, 20, 3), np.uint8), source_size=(200, 50))
    assert scale_to_source(frame) == (10, 5)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.uint16),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_wrong_pixels_are_refused(pixels):
    with pytest.raises(InferenceError):
        check_frame(Frame(pixels))


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 4, st.floats(0, 1)), max_size=25))
def test_suppression_keeps_the_best_and_nothing_that_overlaps(rows):
    boxes = np.array([[x, y, x + w + 1, y + h + 1] for x, y, w, h, _ in rows]).reshape(-1, 4)
    scores = np.array([score for *_, score in rows])
    kept = suppress(boxes, scores, 0.4)
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(scores[kept]) <= 0).all()
    for place, n in enumerate(kept):
        assert (overlap(boxes[n], boxes[kept[place + 1 :]]) < 0.4).all()
    if len(scores):
        assert scores[kept[0]] == scores.max()
