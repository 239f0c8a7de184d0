"""The table that says what share of a training step each augmentation takes."""

import numpy as np

from benchmarks import augmentation
from benchmarks.rows import Limits, Settings


def test_every_augmentation_has_its_share_of_the_step(monkeypatch):
    monkeypatch.setattr(augmentation, "BATCH", 4)
    rows = augmentation.table(
        Settings(quick=True, threads=1, seconds=1e-3, limits=Limits(100.0, 50.0, 10.0, 10.0), torch=False)
    )
    assert [row["share"] for row in rows if row["what"] == augmentation.STEP] == [1]
    assert len(rows) > 10 and all(set(row) == {"what", "ms", "share"} and 0 < row["ms"] < np.inf for row in rows)
