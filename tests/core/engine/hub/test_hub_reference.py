"""How a repository, a hub and a token are named."""

from __future__ import annotations

import pytest

from vlmtool_core.engine.packs.hub_reference import (
    Reference,
    endpoint_from_environment,
    parse_reference,
    token_from_environment,
)
from vlmtool_core.errors import (
    UsageError,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme/x", Reference("acme/x")),
        ("acme/x@v1.0", Reference("acme/x", "v1.0")),
        ("acme/x@refs/pr/1", Reference("acme/x", "refs/pr/1")),
        ("https://huggingface.co/acme/x", Reference("acme/x")),
        ("https://hf.co/acme/x/tree/v2", Reference("acme/x", "v2")),
        ("https://huggingface.co/acme/x/blob/abc/config.json", Reference("acme/x", "abc")),
        ("http://mirror.example:8080/acme/x/", Reference("acme/x")),
    ],
)
def test_how_a_repository_may_be_written(text, expected):
    assert parse_reference(text, "http://mirror.example:8080") == expected


@pytest.mark.parametrize(
    "text",
    ["acme/", "/x", "a/b/c", "acme/..", "acme/x@", "acme/x@../y", "https://evil.example/acme/x",
     "https://huggingface.co/datasets/acme/x", "ftp://huggingface.co/acme/x", "acme/x y", "-a/b"],
)  # fmt: skip
def test_what_names_no_repository(text):
    if text == "acme/x@":
        assert parse_reference(text) == Reference("acme/x")
        return
    with pytest.raises(UsageError):
        parse_reference(text)


def test_where_the_token_and_the_address_come_from(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert token_from_environment() == ""
    (tmp_path / "token").write_text("from-file\n")
    assert token_from_environment() == "from-file"
    monkeypatch.setenv("HF_TOKEN", " from-variable ")
    assert token_from_environment() == "from-variable"
    assert endpoint_from_environment() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert endpoint_from_environment() == "https://mirror.example"
    monkeypatch.setenv("HF_ENDPOINT", "mirror.example")
    with pytest.raises(UsageError, match="no address of a hub"):
        endpoint_from_environment()
