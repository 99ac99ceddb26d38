"""GOT-OCR 2: the text of transformers on odd pictures, plain and formatted."""

from __future__ import annotations

import pytest
import tiny_writers
from transformers import GotOcr2ForConditionalGeneration, GotOcr2Processor

from vlmtool_core.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.got_ocr2(tmp_path_factory.mktemp("m") / "got")


@pytest.fixture
def family(folder, engine_of):
    family = engine_of(folder).family("got")
    family.most_tokens = 80
    return family


def expected(folder, frames, **options):
    model = GotOcr2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = GotOcr2Processor.from_pretrained(folder)
    said = []
    for picture in tiny_writers.pictures_of(frames):
        inputs = processor(images=picture, return_tensors="pt", num_image_tokens=4, **options)
        tokens = model.generate(
            **inputs, do_sample=False, tokenizer=processor.tokenizer,
            stop_strings="<|im_end|>", max_new_tokens=80,
        )  # fmt: skip
        new = tokens[0, inputs["input_ids"].shape[1] :]
        said.append(processor.decode(new, skip_special_tokens=True).strip())
    return said


@pytest.mark.parametrize("prompt", [None, "formatted"])
def test_texts_are_those_of_transformers(family, folder, odd_pictures, prompt):
    outcomes = family.read_as(odd_pictures, prompt)
    said = [outcome.text for outcome in outcomes]
    assert said == expected(folder, odd_pictures, format=prompt == "formatted")
    assert len(set(said)) > 1
    assert outcomes[0].provenance["text"] == (prompt or "plain")
    assert outcomes[0].lines == ()


def test_formatted_text_is_asked_for_in_other_words(family, odd_pictures):
    plain, formatted = (
        family._decoded(family._pages(odd_pictures[:1], formatted=kind)["input_ids"])[0]
        for kind in (False, True)
    )
    assert "OCR with format:" in formatted
    assert "OCR:" in plain


def test_a_batch_reads_what_its_pictures_read_alone(family, odd_pictures):
    together = family.read(odd_pictures)
    alone = [family.read([frame])[0] for frame in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_another_way_of_reading_is_refused(family, odd_pictures):
    with pytest.raises(UsageError, match="plain or formatted") as caught:
        family.read_as(odd_pictures[:1], "as a poem")
    assert caught.value.field == "prompt"
