"""Which family serves a folder, and what a folder says of itself."""

from __future__ import annotations

import json

import pytest

from vlmtool_core.engine.packs.model_folder import ModelFolder, read_model_folder
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.errors import UsageError


def test_a_chat_template_is_found_wherever_it_lies(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "smolvlm", "architectures": ["X"]}')
    assert not read_model_folder(tmp_path).chat_template
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    found = read_model_folder(tmp_path)
    assert found.chat_template
    assert (found.model_type, found.architectures) == ("smolvlm", ("X",))
    assert found.files == {"config.json", "tokenizer_config.json"}


@pytest.mark.parametrize(
    ("architecture", "family"),
    [("ViTForImageClassification", "transformers-classifier"), ("NobodysModel", None)],
)
def test_the_family_is_found_by_what_the_config_declares(architecture, family):
    config = {"model_type": "vit", "architectures": [architecture]}
    found = family_of_folder(ModelFolder(config))
    assert (found.name if found else None) == family


def test_a_config_that_is_no_object_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(UsageError, match="no JSON object"):
        read_model_folder(tmp_path)
