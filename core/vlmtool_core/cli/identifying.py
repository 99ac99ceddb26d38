"""The option that shows what identifies a person, unless the settings hide it everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from vlmtool_core.errors import UsageError
from vlmtool_core.settings import load_settings, settings_file

C = TypeVar("C", bound=Callable[..., Any])


def _allowed(_context: click.Context, _parameter: click.Parameter, asked: bool) -> bool:
    if asked and load_settings().hide_identifying_values:
        raise UsageError(
            "the settings hide whatever identifies a person",
            field="hide_identifying_values",
            path=settings_file(),
            remedy="Switch the setting off, or leave out --identifying.",
        )
    return asked


def identifying_option(help_text: str) -> Callable[[C], C]:
    """`--identifying`; refused while the setting `hide_identifying_values` is on."""
    return click.option("--identifying", is_flag=True, callback=_allowed, help=help_text)
