"""Clients of the rough host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.core.host.asking import ROUGH

from vlmtool_core.host.client import HostClient


@pytest.fixture
def client() -> Iterator[HostClient]:
    with HostClient(ROUGH) as client:
        yield client
