"""Components in DataFrames against the arrays."""

from typing import Any

import numpy as np
import pytest

from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.spark import session as sessions
from headrace.spark_jobs.curate import dedup_frames
from headrace.spark_jobs.kernels.duplicates import components


@pytest.mark.spark
def test_components_are_those_of_the_arrays() -> None:
    spark: Any = sessions.session(SparkSettings())
    rng = np.random.default_rng(2)
    # A long path, a star, and a random graph: few and many steps.
    edges = [(k, k + 1) for k in range(30)] + [(100, k) for k in range(101, 140)]
    edges += [tuple(e) for e in rng.integers(200, 300, (60, 2)).tolist() if e[0] != e[1]]
    u, v = np.array(edges).T
    frame = spark.createDataFrame([(int(a), int(b)) for a, b in edges], "u long, v long")
    want = components(u, v, 300)
    found = {r.doc: r.root for r in dedup_frames.components(frame).collect()}
    assert found == {int(k): int(want[k]) for k in set(u.tolist()) | set(v.tolist())}
