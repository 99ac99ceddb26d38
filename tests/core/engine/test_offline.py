"""With every socket blocked, everything but `pull` works, and nothing even tries to connect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Runs in a process of its own, without the switch that the tests set for the libraries.
SCRIPT = """
import json, socket, sys

tried = []

def blocked(*arguments, **_options):
    tried.append(repr(arguments)[:200])
    raise OSError("the network is cut")

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, blocked)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection", "socketpair"):
    setattr(socket, name, blocked)

from vlmtool_core.cli.main import run_cli

folder, work = sys.argv[1:]
commands = [
    ["models", "add", folder, "--id", "tiny", "--copy"],
    ["models", "list", "--json"],
    ["models", "show", "tiny", "--json"],
    ["models", "verify"],
    ["models", "recommend", "--memory", "8", "--json"],
    ["models", "keygen", work + "/key"],
    ["models", "export", "tiny", "-o", work + "/x.vlmpack", "--sign", work + "/key"],
    ["models", "remove", "tiny"],
    ["models", "import", work + "/x.vlmpack", "--trust", work + "/key.pub"],
    ["run", work + "/pictures", "--task", "classify", "--model", "tiny", "--out",
     work + "/out.jsonl"],
]
codes = {" ".join(command[:2]): run_cli(command) for command in commands}
import huggingface_hub
print(json.dumps({"codes": codes, "tried": tried, "offline": huggingface_hub.is_offline_mode()}))
codes = run_cli(["models", "pull", "acme/x"])
print(json.dumps({"pull": codes, "tried": len(tried)}))
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path / "tiny"
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_nothing_tries_to_reach_the_network(tiny, tmp_path, home):
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "pictures" / "a.png")
    switches = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"}
    environment = {k: v for k, v in os.environ.items() if k not in switches}
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, str(script), str(tiny), str(tmp_path)],
        capture_output=True, text=True, env=environment, timeout=280, cwd=tmp_path,
    )  # fmt: skip
    lines = [line for line in result.stdout.splitlines() if line.startswith('{"')]
    assert len(lines) == 2, result.stdout + result.stderr
    quiet, pull = (json.loads(line) for line in lines)
    assert quiet["tried"] == []
    assert set(quiet["codes"].values()) == {0}, result.stderr
    assert quiet["offline"] is True
    assert pull["pull"] == 1  # the one command that needs the network says that it has none
    assert pull["tried"] > 0
