"""What Prometheus reads of where everything stands."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.infra.configuration.config_file import Config
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import HeadraceError
from headrace.infra.stack import retention
from headrace.infra.state.state_dir import home
from headrace.tasks.configuration import kept_settings
from headrace.tasks.configuration.kept_settings import Kept
from headrace.tasks.configuration.settings import DeployConfig
from headrace.tasks.operations import prometheus
from headrace.tasks.operations.prometheus import exposition, write_textfile
from headrace.tasks.operations.status import (
    Champion,
    Disk,
    Due,
    Running,
    Status,
    Waiting,
    WaitingAlert,
)
from headrace.tasks.retraining import budget
from headrace.tasks.retraining.verdicts import Verdict

SINCE = "2026-01-02T03:04:05+00:00"
FOUND = Status(
    champion=Champion("3", "ab", missing=None, since=SINCE),
    waiting=[Waiting("4", "run", compared_with=None, report=None)],
    window=Verdict(window="/w", drift=True, judged=SINCE, p_value=0.004, effect=0.2),
    running=[Running("retrain", "a", SINCE)],
    next=[Due(flow, "b", SINCE) for flow in ("curate", "retrain", "retrain")],
    paused=[],
    alert_runs=[],
    stack_fault=None,
    alerts=[WaitingAlert("/w", "outbox/1.json", "")] * 2,
    decision=None,
    stack="http://p",
    disk=Disk(state_bytes=10, free_bytes=20, parts={}),
)


def values(text: str) -> dict[str, float]:
    return {
        f"{s.name}{dict(sorted(s.labels.items())) or ''}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_queue_verdict_budget_and_champion_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "status", lambda *_, **__: FOUND)
    given = [Config("--set", {"retrain": {"budget": {"tokens": 90000, "minutes": None}}})]
    kept_settings.keep(Kept(), given, None, DeployConfig.model_validate(given[0].data))
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
        used.tokens = 90000
    said = values(exposition(Shared()).decode())
    assert said["headrace_retrain_allowed"] == 0
    assert said["headrace_retrain_allowed_timestamp_seconds"] > datetime.now(UTC).timestamp()


def test_an_empty_state_has_no_made_up_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = replace(
        FOUND, champion=None, waiting=[], window=None, running=[], next=[], alerts=[], stack=None
    )
    monkeypatch.setattr(prometheus, "status", lambda *_, **__: nothing)
    path = tmp_path / "headrace.prom"
    assert write_textfile(path, Shared()) == nothing
    said = values(path.read_text())
    assert not [name for name in said if "champion" in name or "verdict" in name]
    assert said["headrace_prefect_up"] == 0 and said["headrace_alerts_waiting"] == 0
    assert path.stat().st_mode & 0o444 == 0o444


FAULT = "headrace_fault{'part': '%s'}"


@pytest.mark.parametrize(
    "content", [b"{", b"\x00", b'{"settings": {"retrain": {"none": 1}}}', b"[]"]
)
def test_a_damaged_deploy_json_takes_only_the_budget_away(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prometheus, "status", lambda *_, **__: FOUND)
    home().root.mkdir(parents=True, exist_ok=True)
    kept_settings.path().write_bytes(content)
    path = tmp_path / "headrace.prom"
    assert write_textfile(path, Shared()) == FOUND
    for text in (exposition(Shared()).decode(), path.read_text()):
        said = values(text)
        assert said[FAULT % "budget"] == 1 and FAULT % "queue" not in said
        assert said["headrace_alerts_waiting"] == 2 and "headrace_retrain_allowed" not in said


@pytest.mark.parametrize(
    "change",
    [
        {"window": Verdict.model_construct(drift=True, judged="soon")},
        {"champion": Champion("3", "ab", missing=None, since="soon")},
    ],
)
def test_an_odd_record_takes_only_its_own_metrics_away(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "status", lambda *_, **__: replace(FOUND, **change))
    said = values(exposition(Shared()).decode())
    part = "champion" if "champion" in change else "verdict"
    assert said[FAULT % part] == 1 and said["headrace_alerts_waiting"] == 2
    assert sum(v for k, v in said.items() if k.startswith("headrace_fault")) == 1


def test_where_nothing_can_be_known_the_metrics_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise HeadraceError("the registry does not answer", "`headrace doctor`")

    monkeypatch.setattr(prometheus, "status", broken)
    path = tmp_path / "headrace.prom"
    with pytest.raises(HeadraceError):
        write_textfile(path, Shared())
    for text in (exposition(Shared()).decode(), path.read_text()):
        said = values(text)
        assert said[FAULT % "status"] == 1 and said["headrace_free_bytes"] > 0
        assert "headrace_alerts_waiting" not in said


def test_the_budget_is_that_of_the_kept_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "status", lambda *_, **__: FOUND)
    asked = []

    def profile(name: str) -> dict[str, Any]:
        asked.append(name)
        return {"retrain": {"budget": {"tokens": 70000}}}

    monkeypatch.setattr(kept_settings, "profile_settings", profile)
    kept_settings.keep(Kept(), [], "cluster", DeployConfig())
    assert values(exposition(Shared()).decode())["headrace_retrain_budget_tokens"] == 70000
    assert asked == ["cluster"]


def test_a_scrape_does_not_walk_the_state_folder_each_time(
    monkeypatch: pytest.MonkeyPatch, fake_clock: Callable[[], Any]
) -> None:
    walked, sizes = [], retention.sizes

    def walk(here: Any) -> dict[str, int]:
        walked.append(1)
        return sizes(here)

    monkeypatch.setattr(retention, "sizes", walk)
    (home().root / "x").mkdir(parents=True)
    with fake_clock() as clock:
        for _ in range(9):
            assert retention.recent_sizes(home()) is not None
            clock.wait(30)
            clock.set(-86400)
        assert len(walked) == 1
        clock.wait(300)
        retention.recent_sizes(home())
        assert len(walked) == 2
        (home().root / "sizes.json").write_text("{")
        retention.recent_sizes(home())
        assert len(walked) == 3
