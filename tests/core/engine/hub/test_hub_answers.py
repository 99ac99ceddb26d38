"""What a hub may answer: busy, gated, unknown; terms that ask for consent; what users are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hub_server import HASTE, REPO, WEIGHTS, Fault

from vlmtool_core.engine import ModelStore
from vlmtool_core.errors import (
    LicenceError,
    PackAccessError,
    PackDownloadError,
)


def test_a_busy_hub_is_asked_again_when_it_says(server, repo, pull):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    server.fail("/api/", Fault(429, {"Retry-After": "0"}), Fault(500), Fault(503))
    server.fail(WEIGHTS, Fault(429, {"Retry-After": soon}), Fault(502), Fault(408))
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}])
def test_a_hub_that_asks_for_an_hour_is_not_waited_for(server, repo, pull, headers):
    server.fail("/api/", Fault(429, headers))
    with pytest.raises(PackDownloadError, match="come back in 3600 s"):
        pull()


def test_a_hub_that_stays_broken_is_given_up(server, repo, pull):
    server.fail("/api/", *[Fault(500)] * 10)
    with pytest.raises(PackDownloadError, match="answered 500") as caught:
        pull()
    assert "again" in caught.value.remedy
    assert len(server.requests) == HASTE.tries


def test_no_network_is_a_clear_error(server, repo, pull):
    server.close()
    with pytest.raises(PackDownloadError, match="cannot be reached") as caught:
        pull()
    assert "models import" in caught.value.remedy


def test_nobody_of_that_name_and_no_such_revision(server, repo, pull):
    with pytest.raises(PackDownloadError, match="no repository acme/Other"):
        pull("acme/Other")
    with pytest.raises(PackDownloadError, match="no such revision"):
        pull(f"{REPO}@v9")
    server.fail(WEIGHTS, Fault(404, {"X-Error-Code": "EntryNotFound"}))
    with pytest.raises(PackDownloadError, match="lost a file"):
        pull()


def test_a_gated_repository_says_what_to_do_at_each_step(server, repo, pull, root):
    repo.gated, repo.licence = True, "gemma"
    server.tokens |= {"alice", "bob"}
    repo.granted.add("bob")
    with pytest.raises(PackAccessError, match="gated") as caught:
        pull(accepted=True)
    assert "set HF_TOKEN" in caught.value.remedy
    assert f"{server.url}/{REPO}" in caught.value.remedy
    with pytest.raises(PackAccessError, match="was not let in"):
        pull(token="alice", accepted=True)
    with pytest.raises(LicenceError, match="licence gemma") as licence:
        pull(token="bob")
    assert "--accept-licence" in licence.value.remedy
    assert server.asked(WEIGHTS) == []
    pack = pull(token="bob", accepted=True)
    assert pack.licence == "gemma"
    assert datetime.fromisoformat(pack.licence_accepted_at).tzinfo is not None
    assert pack.licence_accepted_by
    assert ModelStore(root).pack("tiny-vit") == pack


def test_a_token_that_the_hub_does_not_know(server, repo, pull):
    with pytest.raises(PackAccessError, match="does not know the token") as caught:
        pull(token="forgotten")
    assert caught.value.field == "HF_TOKEN"
    server.tokens.add("known")
    server.fail("/api/", Fault(403, {"X-Error-Message": "no\x1b rights" + "!" * 999}))
    with pytest.raises(PackAccessError, match="rights!") as refused:
        pull(token="known")
    assert len(str(refused.value)) < 400
    assert "\x1b" not in str(refused.value)


def test_the_token_stays_with_the_hub(server, repo, pull):
    server.tokens.add("secret")
    server.redirect = True
    pull(token="secret")
    to_store = [request for request in server.requests if request.host == "store"]
    to_hub = [request for request in server.requests if request.host == "hub"]
    assert to_store
    assert all(request.token == "" for request in to_store)
    assert all(request.token == "secret" for request in to_hub)


@pytest.mark.parametrize("licence", ["llama3.2", "apple-amlr", "cc-by-nc-4.0", "other", None])
def test_terms_that_ask_for_consent_stop_before_the_weights(server, repo, pull, licence):
    repo.licence = licence
    repo.files["README.md"] = b"No head."
    with pytest.raises(LicenceError, match="consent") as caught:
        pull()
    assert f"{server.url}/{REPO}" in str(caught.value)
    assert server.asked(WEIGHTS) == []
    assert pull(accepted=True).licence_accepted_by
