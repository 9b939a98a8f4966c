import json
from pathlib import Path

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError, ValidationError
from headrace.tasks.gate.decisions import (
    decide_version,
    recorded_decisions,
    roll_back,
    verify_decisions,
)
from headrace.tasks.mlflow_log import registry, tracking


def test_what_the_verbs_answer(state: Path) -> None:
    store, models = tracking(), registry("headrace")
    for number in ("1", "2"):
        export = state / "runs" / number / "export"
        export.mkdir(parents=True)
        (export / "config.json").write_text("{}")
        run = store.start_run("gate", {})
        assert models.register(run, export, str(state / "releases/r"), {}) == number
    shared = Shared()
    with pytest.raises(UsageError):
        roll_back("A", "b", shared)
    assert decide_version("2", False, "A", "b", shared).as_json() == {
        "version": "2", "decision": "refuse", "champion": None, "by": "A", "why": "b", "from": None,
    }  # fmt: skip
    assert decide_version("1", True, "A", "b", shared).champion == "1"
    assert decide_version("2", True, "A", "b", shared).before == "1"
    assert roll_back("C", "slower", shared).as_json() == {
        "version": "1", "decision": "rollback", "champion": "1", "by": "C", "why": "slower",
        "from": "2", "skipped": [],
    }  # fmt: skip
    shown = recorded_decisions().lines
    assert [d["action"] for d in shown] == ["refuse", "promote", "promote", "rollback"]
    said = verify_decisions()
    assert said.lines == 4 and said.file == str(state / "audit.jsonl")
    lines = (state / "audit.jsonl").read_text().splitlines()
    assert [json.loads(x)["action"] for x in lines] == ["refuse", "promote", "promote", "rollback"]
    (state / "audit.jsonl").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ValidationError, match="line 1"):
        verify_decisions()
