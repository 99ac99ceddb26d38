"""The cache of embeddings while several processes use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlmtool_core.batch.features import FeatureCache


def test_what_another_process_writes_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    key = ("a" * 64, 0)
    with FeatureCache("f", 3, tmp_path) as writer:

        class Overtaken(FeatureCache):
            """Between its measuring of the file and what it does about it, somebody writes."""

            def _backed(self) -> int:
                measured = super()._backed()
                if key not in writer.places():
                    writer.add([(key, np.ones(3, np.float32))])
                return measured

        with Overtaken("f", 3, tmp_path) as late:
            assert late.places() == {key: 0}
            np.testing.assert_array_equal(late.read([0]), [[1, 1, 1]])


def test_rows_whose_bytes_are_gone_are_forgotten(tmp_path: Path) -> None:
    with FeatureCache("f", 3, tmp_path) as cache:
        for name in "abc":
            cache.add([((name, 0), np.ones(3, np.float32))])
    (vectors,) = tmp_path.rglob("rows.f32")
    with vectors.open("r+b") as file:
        file.truncate(2 * 12 + 5)
    with FeatureCache("f", 3, tmp_path) as cache:
        assert cache.places() == {("a", 0): 0, ("b", 0): 1}
