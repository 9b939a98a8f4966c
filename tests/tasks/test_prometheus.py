"""What Prometheus reads of where everything stands."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.infra.config_file import Config
from headrace.infra.settings import Shared
from headrace.tasks import budget, kept_settings, prometheus
from headrace.tasks.kept_settings import Kept
from headrace.tasks.prometheus import exposition, write_textfile
from headrace.tasks.settings import DeployVerb

SINCE = "2026-01-02T03:04:05+00:00"
FOUND: dict[str, Any] = {
    "champion": {"version": "3", "release_id": "ab", "since": SINCE},
    "waiting": [{}],
    "window": {"drift": True, "judged": SINCE, "p_value": 0.004, "effect": 0.2},
    "running": [{"flow": "retrain"}],
    "next": [{"flow": "curate"}, {"flow": "retrain"}, {"flow": "retrain"}],
    "paused": [],
    "alerts": [{}, {}],
    "stack": "http://p",
    "stack_fault": None,
    "disk": {"state_bytes": 10, "free_bytes": 20},
}


def values(text: str) -> dict[str, float]:
    return {
        f"{s.name}{dict(sorted(s.labels.items())) or ''}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_queue_verdict_budget_and_champion_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "status", lambda _: FOUND)
    given = [Config("--set", {"retrain": {"budget": {"tokens": 90000}}})]
    kept_settings.keep(Kept(), given, None, DeployVerb.model_validate(given[0].data))
    said = values(exposition(Shared()).decode())
    champion = "{'model': 'headrace', 'release_id': 'ab', 'version': '3'}"
    assert said[f"headrace_champion_info{champion}"] == 1
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert said["headrace_champion_since_timestamp_seconds"] == at
    assert said["headrace_alerts_waiting"] == 2 and said["headrace_versions_waiting"] == 1
    assert said["headrace_flow_runs{'flow': 'retrain', 'state': 'next'}"] == 2
    assert said["headrace_flow_runs{'flow': 'retrain', 'state': 'running'}"] == 1
    assert said["headrace_last_verdict_drift"] == 1 and said["headrace_prefect_up"] == 1
    assert said["headrace_last_verdict_effect"] == 0.2
    assert said["headrace_retrain_allowed"] == 1 and said["headrace_retrain_budget_tokens"] == 90000
    assert "headrace_retrain_budget_seconds" not in said, "no limit"
    with budget.accounted(budget.Allowance()) as used:
        used["tokens"] = 90000
    said = values(exposition(Shared()).decode())
    assert said["headrace_retrain_allowed"] == 0
    assert said["headrace_retrain_allowed_timestamp_seconds"] > datetime.now(UTC).timestamp()


def test_an_empty_state_has_no_made_up_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = {**FOUND, "champion": None, "waiting": [], "window": None, "running": [], "next": [],
               "alerts": [], "stack": None}  # fmt: skip
    monkeypatch.setattr(prometheus, "status", lambda _: nothing)
    path = tmp_path / "headrace.prom"
    assert write_textfile(path, Shared()) == nothing
    said = values(path.read_text())
    assert not [name for name in said if "champion" in name or "verdict" in name]
    assert said["headrace_prefect_up"] == 0 and said["headrace_alerts_waiting"] == 0
    assert path.stat().st_mode & 0o444 == 0o444
