"""How old a moment is, while somebody sets the clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.state import clock
from headrace.infra.state.clock import Stamp, age, stamp, stamp_of

YEARS = timedelta(days=3000).total_seconds()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wait", "set", "restart", "move"]),
            st.floats(-YEARS, YEARS, allow_nan=False),
        ),
        max_size=8,
    )
)
def test_an_age_is_true_within_a_start_and_bounded_after_one(
    fake_clock: Callable[[], Any], steps: list[tuple[str, float]]
) -> None:
    with fake_clock() as fake:
        then, stamped, true = clock.now(), stamp(), 0.0
        started, set_since = False, False
        for what, seconds in steps:
            if what == "wait":
                fake.wait(abs(seconds))
                true += abs(seconds)
            elif what == "set":
                fake.set(seconds)
                set_since = True
            elif what == "restart":
                fake.restart()
                started = True
            else:  # the state folder goes to another machine
                fake.restart(host="other")
                started = True
        told = age(then, stamped)
        assert told >= 0
        if not started:
            assert abs(told - true) < 1e-3
        elif not set_since:
            assert told >= true - 1e-3
        # However the clock was set: what this machine has seen since its start has gone by.
        if started and fake.host == "this":
            assert told >= fake.up - 1e-3


def test_a_record_without_a_stamp_is_not_of_the_future(fake_clock: Callable[[], Any]) -> None:
    with fake_clock() as fake:
        fake.up = 500.0
        assert age(clock.now() - timedelta(seconds=30), None) == 30
        assert age(clock.now() + timedelta(days=900), None) == 500


def test_the_real_clock_has_a_stamp() -> None:
    mine = stamp()
    assert mine.uptime > 0 and 0 <= age(datetime(2020, 1, 1, tzinfo=UTC), mine) < 60
    assert stamp_of(mine.model_dump()) == mine
    assert stamp_of({"boot": 3}) is None and stamp_of(None) is None and stamp_of({}) == Stamp()
