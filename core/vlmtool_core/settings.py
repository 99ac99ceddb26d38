"""Typed settings in one TOML file; only what differs from the defaults is written.

The settings dialog is generated from `SettingsField`s, so a setting is declared once.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from vlmtool_core import paths
from vlmtool_core.errors import FormatError
from vlmtool_core.paths import write_atomically


def _setting(default: Any, help_text: str, **metadata: Any) -> Any:
    return dataclass_field(default=default, metadata={"help": help_text, **metadata})


@dataclass(frozen=True)
class Settings:
    """Every setting with its default, range and help; the file may override any of them."""

    language: str = _setting("auto", "Language of the window", choices=("auto", "en", "zh_CN"))
    theme: str = _setting("auto", "Colours of the window", choices=("auto", "light", "dark"))
    device: str = _setting("auto", "Where models run", choices=("auto", "cpu", "cuda"))
    precision: str = _setting(
        "auto",
        "Numbers that models compute in; auto takes bfloat16 where it agrees and is faster",
        choices=("auto", "float32", "bfloat16"),
    )
    backend: str = _setting(
        "torch", "What runs models on the processor", choices=("torch", "openvino")
    )
    compile: bool = _setting(False, "Compile models when they are loaded: slow start, faster runs")
    max_megapixels: int = _setting(
        1000, "Largest picture that is decoded, in megapixels", minimum=1, maximum=20000
    )
    max_file_mb: int = _setting(
        8192, "Largest compressed file that is opened, in MB", minimum=1, maximum=1_000_000
    )
    max_archive_mb: int = _setting(
        65_536, "Most that a zip archive may inflate to, in MB", minimum=1, maximum=10_000_000
    )
    pdf_dpi: int = _setting(
        150, "Pixels per inch at which PDF pages are drawn", minimum=36, maximum=1200
    )
    max_frames: int = _setting(
        1_000_000, "Most frames that an item may have", minimum=1, maximum=100_000_000
    )
    decode_memory_mb: int = _setting(
        4096,
        "Memory that decoding one file may take, in MB; a file that needs more is refused",
        minimum=256,
        maximum=1_000_000,
    )
    decode_seconds: int = _setting(
        30,
        "Seconds that decoding may take without progress; large files and pictures get more",
        minimum=2,
        maximum=3600,
    )
    batch_size: int = _setting(
        0,
        "Frames per forward pass; 0 finds the fastest number, halved when memory runs out",
        minimum=0,
        maximum=1024,
    )
    memory_budget_gb: int = _setting(
        0,
        "Memory that loaded models may take together, in GB; 0 lets the program decide",
        minimum=0,
        maximum=4096,
    )
    stuck_after_min: int = _setting(
        30,
        "Minutes without progress after which the engine is restarted; 0 means never",
        minimum=0,
        maximum=1440,
    )
    hide_identifying_values: bool = _setting(
        False, "Hide names, dates and numbers that identify a person everywhere"
    )


def settings_file() -> Path:
    return paths.config_dir() / "settings.toml"


_fixed: list[Settings] = []


def fix_settings(settings: Settings) -> None:
    """Use these in this process, whatever its settings file says: those of whom it works for."""
    _fixed[:] = [settings]


def fixed_settings() -> Settings | None:
    """What `fix_settings` was given, None where the settings file counts."""
    return _fixed[0] if _fixed else None


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file, or what `fix_settings` put in its place.

    Raises
    ------
    FormatError : the file is no TOML, has an unknown key, or a value of the wrong type.
    """
    if path is None and _fixed:
        return _fixed[0]
    path = path or settings_file()
    if not path.exists():
        return Settings()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not valid TOML: {error}", path=path) from error
    known = {field.name: field for field in dataclasses.fields(Settings)}
    for key, value in values.items():
        if key not in known:
            raise FormatError("no such setting", path=path, field=key)
        _check(path, known[key], value)
    return Settings(**values)


def _check(path: Path, field: dataclasses.Field[Any], value: object) -> None:
    if type(value) is not type(field.default):
        expected = type(field.default).__name__
        raise FormatError(f"expected {expected}, got {value!r}", path=path, field=field.name)
    choices = field.metadata.get("choices")
    if choices and value not in choices:
        raise FormatError(f"expected one of {choices}, got {value!r}", path=path, field=field.name)
    if isinstance(value, int) and "minimum" in field.metadata:
        low, high = field.metadata["minimum"], field.metadata["maximum"]
        if not low <= value <= high:
            raise FormatError(f"expected {low} to {high}, got {value}", path=path, field=field.name)


def save_settings(settings: Settings, path: Path | None = None) -> None:
    """Write what differs from the defaults, whole or not at all."""
    import tomli_w

    defaults = dataclasses.asdict(Settings())
    changed = {k: v for k, v in dataclasses.asdict(settings).items() if v != defaults[k]}
    write_atomically(path or settings_file(), tomli_w.dumps(changed).encode())
