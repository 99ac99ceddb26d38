"""The libraries that could reach a hub are told not to: only `pull` uses the network."""

from __future__ import annotations

import os
import sys

_SWITCHES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def stay_offline() -> None:
    """Set the switches of huggingface_hub and transformers for this process and its children.

    Pulling does not go through these libraries, so it needs no way back.
    """
    os.environ.update(_SWITCHES)
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        # Whoever imported it before us had it read the environment already.
        vars(constants)["HF_HUB_OFFLINE"] = True
