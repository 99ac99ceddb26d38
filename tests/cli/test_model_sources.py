"""`vlmtool-cli models`: a hub, bundles, keys and recommendations, with their exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlmtool_core.cli.main import run_cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core" / "engine" / "hub"))

from hub_server import HubServer, Repo, serving, use_hub, vit_files


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return vit_files(tmp_path_factory.mktemp("made") / "vit")


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch, model_files) -> Iterator[HubServer]:
    with serving() as server:
        use_hub(monkeypatch, server)
        server.repos["acme/vit"] = Repo(dict(model_files), licence="gemma")
        yield server


def hub_files(home: Path) -> list[Path]:
    return list((home / "models").rglob("*.safetensors"))


def test_terms_are_accepted_by_an_option_and_stored(hub, home, capsys):
    assert run_cli(["models", "pull", "acme/vit"]) == 1
    err = capsys.readouterr().err
    assert "gemma" in err
    assert "models pull acme/vit --accept-licence" in err
    assert run_cli(["models", "pull", "acme/vit", "--accept-licence", "--id", "mine"]) == 0
    assert "mine" in capsys.readouterr().err
    assert run_cli(["models", "show", "mine", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["revision"] == hub.repos["acme/vit"].commit
    assert shown["licence_accepted_at"]
    assert shown["licence_accepted_by"]
    assert shown["memory_bytes"] > 0
    assert run_cli(["models", "verify", "mine"]) == 0
    for path in hub_files(home):
        path.write_bytes(b"broken")
    assert run_cli(["models", "verify"]) == 1
    commit = hub.repos["acme/vit"].commit
    command = f"models pull acme/vit@{commit} --id mine --accept-licence"
    assert command in capsys.readouterr().out
    assert run_cli(command.split()) == 0
    assert run_cli(["models", "verify", "mine"]) == 0


def test_gated_and_missing_repositories(hub, monkeypatch, capsys):
    hub.repos["acme/vit"].gated = True
    assert run_cli(["models", "pull", "acme/vit"]) == 1
    assert "set HF_TOKEN" in capsys.readouterr().err
    hub.repos["acme/vit"].granted.add("mine")
    hub.tokens.add("mine")
    monkeypatch.setenv("HF_TOKEN", "mine")
    assert run_cli(["models", "pull", "acme/vit", "--accept-licence"]) == 0
    assert run_cli(["models", "pull", "acme/none"]) == 1
    assert "no repository acme/none" in capsys.readouterr().err
    assert run_cli(["models", "pull", "acme/vit/more"]) == 2
    assert run_cli(["models", "pull", "starter-vision", "--id", "x"]) == 2


def test_a_recommended_model_is_pulled_by_its_short_name(hub, capsys):
    hub.repos["microsoft/rad-dino"] = Repo(dict(hub.repos["acme/vit"].files), licence="mit")
    assert run_cli(["models", "pull", "rad-dino"]) == 0
    assert run_cli(["models", "list", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["rad-dino"]["installed"]
    assert rows["rad-dino"]["source"].startswith("hub microsoft/rad-dino@")
    assert not rows["siglip-base"]["installed"]
    assert run_cli(["models", "recommend", "--domain", "medical", "--memory", "8", "--json"]) == 0
    found = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["rad-dino"]["installed"]
    assert not found["medsiglip"]["installed"]
    assert found["medsiglip"]["consent"]


def test_recommendations_as_a_table(home, capsys):
    assert (
        run_cli(["models", "recommend", "--task", "ask", "--memory", "24", "--device", "cuda"]) == 0
    )
    out, err = capsys.readouterr()
    assert "qwen3-vl-8b" in out
    assert "models pull ID" in err
    assert (
        run_cli(["models", "recommend", "--memory", "0.2", "--device", "cpu", "--task", "ask"]) == 0
    )
    assert "starter" in capsys.readouterr().err
    assert run_cli(["models", "recommend", "--memory", "-1"]) == 2
    assert run_cli(["models", "recommend", "--domain", "cooking"]) == 2
    capsys.readouterr()
    assert run_cli(["models", "show", "medgemma-4b"]) == 0
    assert "google/medgemma-4b-it" in capsys.readouterr().out


def test_a_signed_bundle_goes_to_another_machine(hub, home, monkeypatch, tmp_path, capsys):
    assert run_cli(["models", "pull", "acme/vit", "--accept-licence"]) == 0
    assert run_cli(["models", "keygen", str(tmp_path / "key")]) == 0
    bundle, public = str(tmp_path / "packs.vlmpack"), str(tmp_path / "key.pub")
    assert run_cli(["models", "export", "vit", "-o", bundle, "--sign", str(tmp_path / "key")]) == 0
    assert "signed" in capsys.readouterr().err
    assert run_cli(["models", "export", "vit", "-o", bundle]) == 2
    monkeypatch.setenv("VLMTOOL_HOME", str(tmp_path / "other"))
    assert run_cli(["models", "import", bundle, "--trust", public]) == 1
    assert "--accept-licence" in capsys.readouterr().err
    assert run_cli(["models", "import", bundle, "--trust", public, "--accept-licence"]) == 0
    assert "a key that you trust" in capsys.readouterr().err
    assert run_cli(["models", "verify", "vit"]) == 0
    assert run_cli(["models", "import", bundle]) == 0
    assert "was here already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["export", "nothing", "-o", "x.vlmpack"], 3),
        (["export", "-o", "x.vlmpack"], 2),
        (["export", "starter"], 2),
        (["import", "nothing.vlmpack"], 2),
        (["keygen", "/proc/no/key"], 1),
    ],
)
def test_exit_codes(home, tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    assert run_cli(["models", *arguments]) == code
    assert capsys.readouterr().err
    assert not list(tmp_path.glob("*.vlmpack"))
