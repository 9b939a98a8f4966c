"""Cool-down and budget of alert-driven retrainings."""

import itertools
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from headrace.infra.home import home
from headrace.infra.process import DEADLINE
from headrace.tasks.budget import Allowance, Later, accounted, allowance, limited
from headrace.tasks.settings import BudgetSettings, RetrainSettings, RetrainVerb

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def past(*entries: tuple[float, float, int]) -> None:
    """(hours ago, seconds, tokens) of retrainings, the oldest first."""
    home().root.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"ended": (NOW - timedelta(hours=h)).isoformat(), "seconds": s, "tokens": t})
        for h, s, t in entries
    ]
    (home().root / "alerts.jsonl").write_text("".join(f"{x}\n" for x in lines) + '{"torn')


NO_BUDGET = BudgetSettings(tokens=None, minutes=None)


def test_a_permanent_alarm_makes_at_most_four_rounds_a_day_by_default() -> None:
    """An alert every hour for three days: each that is held back is due again when it says."""
    home().root.mkdir(parents=True, exist_ok=True)
    rounds: list[datetime] = []
    at, end = NOW, NOW + timedelta(days=3)
    while at < end:
        may = allowance(RetrainSettings(), at)
        if isinstance(may, Later):
            assert may.at > at
            at = max(may.at, at + timedelta(hours=1))
            continue
        rounds.append(at)
        at += timedelta(minutes=20)
        line = {"ended": at.isoformat(), "seconds": 1200.0, "tokens": 250_000}
        with (home().root / "alerts.jsonl").open("a") as f:
            f.write(json.dumps(line) + "\n")
    assert 9 <= len(rounds) <= 12, "a permanent alarm neither retrains every hour nor is lost"
    gaps = [(b - a).total_seconds() / 3600 for a, b in itertools.pairwise(rounds)]
    assert min(gaps) >= 6


def test_settings_can_lift_all_limits() -> None:
    past((0.001, 1e6, 10**9))
    assert allowance(RetrainSettings(cooldown_minutes=0, budget=NO_BUDGET), NOW) == Allowance()


def test_a_cool_down_counts_from_the_last_retraining() -> None:
    past((3, 1, 1), (0.5, 1, 1))
    later = allowance(RetrainSettings(cooldown_minutes=60, budget=NO_BUDGET), NOW)
    assert isinstance(later, Later) and later.at == NOW + timedelta(minutes=30)
    assert allowance(RetrainSettings(cooldown_minutes=30, budget=NO_BUDGET), NOW) == Allowance()


def test_a_budget_is_what_the_period_leaves() -> None:
    past((30, 900, 900_000), (5, 60, 300_000), (1, 60, 300_000))
    budget = BudgetSettings(tokens=1_000_000, minutes=10, hours=24)
    settings = RetrainSettings(cooldown_minutes=0, budget=budget)
    assert allowance(settings, NOW) == Allowance(400_000, 480)


@pytest.mark.parametrize("used", [(5, 60, 1_000_000), (5, 60, 990_000), (5, 700, 1)])
def test_a_budget_that_is_used_waits_for_its_oldest_part(used: tuple[float, float, int]) -> None:
    past(used, (1, 1, 1))
    budget = BudgetSettings(tokens=1_000_000, minutes=10)
    later = allowance(RetrainSettings(cooldown_minutes=0, budget=budget), NOW)
    assert isinstance(later, Later) and later.at == NOW + timedelta(hours=19)
    assert "budget" in later.why


def test_what_is_left_cuts_the_training() -> None:
    settings = RetrainVerb()
    assert limited(settings, Allowance()) is settings
    assert limited(settings, Allowance(tokens=5000)).ewc.material.tokens == 5000
    assert limited(settings, Allowance(tokens=10**9)) is settings


def test_a_retraining_is_recorded_also_where_it_fails() -> None:
    home().root.mkdir(parents=True, exist_ok=True)
    with pytest.raises(ValueError), accounted(Allowance(seconds=60)) as used:
        assert float(os.environ[DEADLINE]) > 0
        used["tokens"] = 7
        raise ValueError
    assert DEADLINE not in os.environ
    entry = json.loads((home().root / "alerts.jsonl").read_text())
    assert entry["tokens"] == 7 and entry["seconds"] < 60
    later = allowance(RetrainSettings(cooldown_minutes=0, budget=BudgetSettings(tokens=7)))
    assert isinstance(later, Later)
