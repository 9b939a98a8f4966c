"""Cool-down and budget of alert-driven retrainings."""

import itertools
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import DEADLINE
from headrace.tasks.configuration.settings import BudgetSettings, RetrainConfig, RetrainSettings
from headrace.tasks.retraining.budget import (
    Allowance,
    Deferred,
    Usage,
    accounted,
    allowance,
    limited,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


Clock = Callable[[], Any]


def past(*entries: tuple[float, float, int]) -> None:
    """(hours ago, seconds, tokens) of retrainings, the oldest first; as older versions wrote it."""
    home().root.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"ended": (NOW - timedelta(hours=h)).isoformat(), "seconds": s, "tokens": t})
        for h, s, t in entries
    ]
    (home().root / "alerts.jsonl").write_text("".join(f"{x}\n" for x in lines) + '{"torn')


NO_BUDGET = BudgetSettings(tokens=None, minutes=None)


def test_a_permanent_alarm_makes_at_most_four_rounds_a_day_by_default(fake_clock: Clock) -> None:
    """An alert every hour for three days: each that is held back is due again when it says."""
    home().root.mkdir(parents=True, exist_ok=True)
    rounds: list[float] = []
    hours, end = 0.0, 72.0
    with fake_clock() as clock:
        while hours < end:
            may = allowance(RetrainSettings())
            if isinstance(may, Deferred):
                wait = max((may.at - clock.day).total_seconds(), 3600)
                assert may.at > clock.day
            else:
                rounds.append(hours)
                with accounted(Allowance()) as used:
                    used.tokens = 250_000
                    clock.wait(1200)
                hours += 1 / 3
                wait = 0
            clock.wait(wait)
            hours += wait / 3600
    assert 9 <= len(rounds) <= 12, "a permanent alarm neither retrains every hour nor is lost"
    assert min(b - a for a, b in itertools.pairwise(rounds)) >= 6


def test_settings_can_lift_all_limits(fake_clock: Clock) -> None:
    past((0.001, 1e6, 10**9))
    with fake_clock():
        lifted = RetrainSettings(cooldown_minutes=0, budget=NO_BUDGET)
        assert allowance(lifted) == Allowance()


def test_a_cool_down_counts_from_the_last_retraining(fake_clock: Clock) -> None:
    past((3, 1, 1), (0.5, 1, 1))
    with fake_clock():
        later = allowance(RetrainSettings(cooldown_minutes=60, budget=NO_BUDGET))
        assert isinstance(later, Deferred) and later.at == NOW + timedelta(minutes=30)
        assert allowance(RetrainSettings(cooldown_minutes=30, budget=NO_BUDGET)) == Allowance()


def test_a_budget_is_what_the_period_leaves(fake_clock: Clock) -> None:
    past((30, 900, 900_000), (5, 60, 300_000), (1, 60, 300_000))
    budget = BudgetSettings(tokens=1_000_000, minutes=10, hours=24)
    settings = RetrainSettings(cooldown_minutes=0, budget=budget)
    with fake_clock():
        assert allowance(settings) == Allowance(400_000, 480)


@pytest.mark.parametrize("used", [(5, 60, 1_000_000), (5, 60, 990_000), (5, 700, 1)])
def test_a_budget_that_is_used_waits_for_its_oldest_part(
    used: tuple[float, float, int], fake_clock: Clock
) -> None:
    past(used, (1, 1, 1))
    budget = BudgetSettings(tokens=1_000_000, minutes=10)
    with fake_clock():
        later = allowance(RetrainSettings(cooldown_minutes=0, budget=budget))
    assert isinstance(later, Deferred) and later.at == NOW + timedelta(hours=19)
    assert "budget" in later.why


YEAR = 365 * 86400.0


@pytest.mark.parametrize("restarts", [False, True])
@given(jumps=st.lists(st.floats(-9 * YEAR, 9 * YEAR, allow_nan=False), min_size=2, max_size=4))
def test_a_clock_that_jumps_blocks_no_cool_down_and_no_budget(
    restarts: bool, jumps: list[float], fake_clock: Clock
) -> None:
    budget = BudgetSettings(tokens=50_000, minutes=None, hours=5)
    settings = RetrainSettings(cooldown_minutes=60, budget=budget)
    (home().root / "alerts.jsonl").unlink(missing_ok=True)
    home().root.mkdir(parents=True, exist_ok=True)
    with fake_clock() as clock:
        for jump in jumps:
            clock.set(jump)
            with accounted(Allowance()) as used:
                used.tokens = 20_000
            clock.wait(1800)
        clock.set(-sum(jumps))
        assert isinstance(allowance(settings), Deferred), "half an hour of the hour has gone by"
        if restarts:
            clock.restart()
        clock.wait(3600)
        may = allowance(settings)
        # They leave less than the least that teaches anything. After a start of the machine they
        # may seem older than they are, never younger than the start.
        assert restarts or (isinstance(may, Deferred) and "budget" in may.why)
        assert isinstance(may, Allowance) or (clock.day < may.at <= clock.day + timedelta(hours=5))
        clock.wait(5 * 3600)
        assert allowance(settings) == Allowance(tokens=50_000)


def test_a_damaged_line_of_the_history_is_told_and_blocks_nothing(
    fake_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    past((0.5, 1, 1))
    path = home().root / "alerts.jsonl"
    bad = b'{}\n\x00\xff\n[]\n{"ended": 1, "seconds": 1, "tokens": 1}\n'
    bad += b'{"ended": "2026-01-01", "seconds": 1, "tokens": 1}\n'
    bad += b'{"ended": "2026-01-01T00:00:00Z", "seconds": NaN, "tokens": -1}\n'
    path.write_bytes(bad + path.read_bytes())
    with fake_clock():
        assert isinstance(allowance(RetrainSettings(cooldown_minutes=60)), Deferred)
    assert [f"line {n} is skipped" in caplog.text for n in range(1, 8)] == [True] * 6 + [False]


def test_what_is_left_cuts_the_training() -> None:
    settings = RetrainConfig()
    assert limited(settings, Allowance()) is settings
    assert limited(settings, Allowance(tokens=5000)).ewc.material.tokens == 5000
    assert limited(settings, Allowance(tokens=10**9)) is settings


def test_a_retraining_is_recorded_also_where_it_fails() -> None:
    home().root.mkdir(parents=True, exist_ok=True)

    def fail(used: Usage) -> None:
        assert float(os.environ[DEADLINE]) > 0
        used.tokens = 7
        raise ValueError("diverged")

    with (
        pytest.raises(ValueError, match="diverged"),
        accounted(Allowance(seconds=60)) as used,
    ):
        fail(used)
    assert DEADLINE not in os.environ
    entry = json.loads((home().root / "alerts.jsonl").read_text())
    assert entry["tokens"] == 7 and entry["seconds"] < 60
    later = allowance(RetrainSettings(cooldown_minutes=0, budget=BudgetSettings(tokens=7)))
    assert isinstance(later, Deferred)
