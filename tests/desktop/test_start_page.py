"""How the start page writes the folder of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmtool_desktop.panels.start_page import short


def test_the_users_own_folder_is_written_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "ana")
    assert short(tmp_path / "ana" / "Demo") == str(Path("~") / "Demo")
    assert short(tmp_path / "ben" / "Demo") == str(tmp_path / "ben" / "Demo")


def test_without_a_home_the_path_is_written_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert short(tmp_path) == str(tmp_path)
