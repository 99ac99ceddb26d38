"""Bundles signed, not signed, signed by others, and changed after signing."""

from __future__ import annotations

import zipfile

import pytest
from bundle_files import put, refused, rewritten, stored

from vlmtool_core.engine.packs.signatures import make_keys
from vlmtool_core.errors import (
    PackIntegrityError,
    UsageError,
)


def test_a_signed_bundle_is_trusted_by_its_key_only(store, other, keys, tmp_path):
    private, public = keys
    strange = make_keys(tmp_path / "strange.pem")
    target = tmp_path / "signed.vlmpack"
    store.export_bundle(["one"], target, key=private)
    with pytest.raises(PackIntegrityError, match="another key"):
        other.import_bundle(target, trusted=[strange])
    assert stored(other) == {}
    found = other.import_bundle(target, trusted=[strange, public])
    assert len(found.signed_by) == 16
    assert private.stat().st_mode & 0o077 == 0


def test_an_unsigned_bundle_is_not_trusted(other, bundle, keys):
    with pytest.raises(PackIntegrityError, match="nobody signed"):
        other.import_bundle(bundle, trusted=[keys[1]])
    assert other.import_bundle(bundle).signed_by == ""


def test_a_list_of_contents_changed_after_signing(store, other, keys, tmp_path):
    target = tmp_path / "signed.vlmpack"
    store.export_bundle(["one"], target, key=keys[0])
    rewritten(target, lambda e, m: put(e, m, "extra.json", b"{}"))
    refused(other, target, "its signature is wrong")
    rewritten(
        target,
        lambda e, _m: e.update({"signature.json": (zipfile.ZipInfo("signature.json"), b"[")}),
    )
    refused(other, target, "signature is damaged")


def test_keys_are_never_overwritten_and_must_be_keys(store, other, bundle, keys, tmp_path):
    with pytest.raises(UsageError, match="already"):
        make_keys(keys[0])
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(UsageError, match="no public Ed25519 key"):
        other.import_bundle(bundle, trusted=[tmp_path / "no.pem"])
    with pytest.raises(UsageError, match="no private Ed25519 key"):
        store.export_bundle(["one"], tmp_path / "x.vlmpack", key=keys[1])
    with pytest.raises(UsageError, match="No such file"):
        store.export_bundle(["one"], tmp_path / "x.vlmpack", key=tmp_path / "nothing")
