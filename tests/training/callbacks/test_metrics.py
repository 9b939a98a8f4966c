import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.callbacks.base import Step
from headrace.training.callbacks.metrics import Metrics, read


@given(cut=st.integers(0, 400), done=st.integers(0, 12))
def test_a_file_cut_anywhere_is_repaired(
    tmp_path_factory: pytest.TempPathFactory, cut: int, done: int
) -> None:
    path = tmp_path_factory.mktemp("m") / "metrics.jsonl"
    whole = "".join(json.dumps({"step": n, "loss": n / 3}) + "\n" for n in range(1, 13))
    path.write_text(whole[:cut])
    there = [x["step"] for x in read(path)]
    start = min(done, len(there))  # a checkpoint never lies beyond what was written
    metrics = Metrics()
    metrics.open(path, start)
    for n in range(start + 1, 13):
        metrics.after(Step(n, n == 12, {"step": n, "loss": n / 3}))
    metrics.close()
    assert path.read_text() == whole
