from pathlib import Path

import pytest

from headrace.spark_jobs.fit import facts


@pytest.mark.slow
def test_it_writes_the_committed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are pinned, so the same command gives the same bytes."""
    committed = facts.OUTPUT.read_bytes()
    monkeypatch.setattr(facts, "OUTPUT", tmp_path / "l3_facts.json")
    facts.main()
    assert facts.OUTPUT.read_bytes() == committed
