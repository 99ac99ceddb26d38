"""COCO's compressed run lengths: round trips, and the same text as COCO's own code."""

from __future__ import annotations

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.engine.pictures.rle import decode_mask, encode_mask, mask_area
from vlmtool_core.errors import FormatError
from vlmtool_core.json_codec import mask_from_json, mask_to_json
from vlmtool_core.records import Mask


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.floats(0, 1))
    return np.random.default_rng(seed).random((height, width)) < share


@given(masks())
def test_round_trip_and_the_text_of_coco(pixels):
    mask = encode_mask(pixels, label="cell", score=0.5)
    np.testing.assert_array_equal(decode_mask(mask), pixels)
    own = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    counts = own["counts"]
    assert mask.counts == (counts.decode() if isinstance(counts, bytes) else counts)
    assert list(mask.size) == list(own["size"])
    assert mask_area(mask) == pixels.sum()
    assert mask_from_json(mask_to_json(mask)) == mask


@pytest.mark.parametrize("value", [False, True])
def test_large_and_uniform(value):
    pixels = np.full((3000, 4000), value)
    mask = encode_mask(pixels)
    assert len(mask.counts) < 12
    assert mask_area(mask) == (12_000_000 if value else 0)
    np.testing.assert_array_equal(decode_mask(mask), pixels)


def test_a_large_drawing_is_what_coco_decodes():
    y, x = np.mgrid[:1500, :2000]
    pixels = ((y - 700) ** 2 + (x - 900) ** 2 < 400**2) & (x % 7 > 1)
    mask = encode_mask(pixels)
    theirs = coco.decode({"size": list(mask.size), "counts": mask.counts.encode()})
    np.testing.assert_array_equal(theirs.astype(bool), pixels)


@pytest.mark.parametrize(
    ("counts", "message"),
    [("3", "does not fill"), ("!", "has the character"), ("\x7f", "has the character"),
     ("P", "in the middle"), ("", "does not fill"), ("猫", "has the character"),
     ("5O", "does not fill")],
)  # fmt: skip
def test_a_damaged_text_is_named(counts, message):
    with pytest.raises(FormatError, match=message):
        decode_mask(Mask((2, 2), counts))
