"""How fast an automation starts runs; on a real server: tests/flows/test_deploying.py."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun

from headrace.flows.runaway import PERIOD, _fastest

FLOW, DEPLOYMENT = uuid4(), uuid4()
BEGAN = datetime(2026, 5, 1, tzinfo=UTC)


def run(seconds: float, by: UUID | None, deployment: UUID = DEPLOYMENT) -> FlowRun:
    made = {"id": by, "type": "AUTOMATION"} if by else None
    return FlowRun.model_validate({
        "flow_id": FLOW, "deployment_id": deployment, "created_by": made,
        "expected_start_time": BEGAN + timedelta(seconds=seconds),
    })  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 2)), max_size=40))
def test_the_most_runs_of_any_period_count_whenever_it_was(rows: list[tuple[int, int]]) -> None:
    autos = [UUID(int=1), UUID(int=2), None]
    runs = [run(at, autos[by]) for at, by in rows]
    most = _fastest([*runs, *runs[:5]])  # a run that is found twice counts once
    for number in (0, 1):
        times = [at for at, by in rows if by == number]
        expected = max(
            (sum(a <= b <= a + PERIOD.total_seconds() for b in times) for a in times), default=0
        )
        assert most.get((autos[number], DEPLOYMENT), 0) == expected
    assert len(most) == len({by for _, by in rows} - {2})


def test_each_deployment_counts_by_itself() -> None:
    other = uuid4()
    most = _fastest([run(0, UUID(int=1)), run(1, UUID(int=1), other)])
    assert set(most.values()) == {1} and len(most) == 2
