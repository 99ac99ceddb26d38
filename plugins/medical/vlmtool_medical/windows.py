"""CT windows in common use, in HU; other values (MR, films, captures) have none of these."""

from __future__ import annotations

from vlmtool_core.api import MediaInfo, Window, WindowPreset

PRESETS = (
    WindowPreset("Lung", -600, 1500),
    WindowPreset("Mediastinum", 50, 350),
    WindowPreset("Soft tissue", 40, 400),
    WindowPreset("Abdomen", 50, 400),
    WindowPreset("Liver", 90, 150),
    WindowPreset("Bone", 480, 2500),
    WindowPreset("Bone, fine detail", 300, 1500),
    WindowPreset("Brain", 40, 80),
    WindowPreset("Stroke", 40, 40),
    WindowPreset("Subdural", 75, 215),
    WindowPreset("Temporal bone", 600, 2800),
    WindowPreset("Angiography", 300, 600),
)


def windows_for(info: MediaInfo) -> tuple[Window, ...]:
    """The presets that mean something for this picture: none unless its values are in HU."""
    return tuple(
        Window(preset.center, preset.width, preset.name)
        for preset in PRESETS
        if info.unit == preset.unit
    )
