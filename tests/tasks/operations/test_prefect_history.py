"""A year of Prefect's runs and events is cleared, and what remains answers quickly."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect_process import prefect_process

from headrace.infra.net import servers
from headrace.infra.stack.prefect_api import request
from headrace.infra.stack.retention import RetentionSettings, prefect_environment
from headrace.infra.state.state_dir import home
from headrace.tasks.operations import prefect_history

YEAR = """
import asyncio, sys
from datetime import timedelta
import sqlalchemy as sa
from prefect.server.database import provide_database_interface
from prefect.server.schemas.states import State
from prefect.types._datetime import now
from uuid import uuid4

COUNT = int(sys.argv[1])

async def fill():
    db = provide_database_interface()
    await db.create_db()
    async with db.session_context(begin_transaction=True) as session:
        flow = db.Flow(name="retrain")
        session.add(flow)
        await session.flush()
        for first in range(0, COUNT, 500):
            runs, states, logs, events, resources = [], [], [], [], []
            for number in range(first, first + 500):
                run, state, event = uuid4(), uuid4(), uuid4()
                at = now("UTC") - timedelta(days=438 * (COUNT - number) / COUNT)
                runs.append(dict(id=run, name=f"run-{number}", flow_id=flow.id,
                    state_type="COMPLETED", state_name="Completed", state_timestamp=at,
                    start_time=at, end_time=at, expected_start_time=at, run_count=1,
                    total_run_time=timedelta(seconds=9)))
                states.append(dict(id=state, flow_run_id=run, type="COMPLETED", name="Completed",
                    timestamp=at, message="done"))
                logs += [dict(name="prefect", level=20, flow_run_id=run, message="said",
                    timestamp=at) for _ in range(3)]
                events.append(dict(id=event, occurred=at, event="prefect.flow-run.Completed",
                    resource_id=f"prefect.flow-run.{run}",
                    resource={"prefect.resource.id": f"prefect.flow-run.{run}"},
                    related=[], payload={},
                    related_resource_ids=[], received=at, recorded=at))
                resources.append(dict(event_id=event, occurred=at, resource_role="",
                    resource_id=f"prefect.flow-run.{run}", resource={}))
            for table, rows in ((db.FlowRun, runs), (db.FlowRunState, states), (db.Log, logs),
                                (db.Event, events), (db.EventResource, resources)):
                await session.execute(table.__table__.insert(), rows)
        await session.execute(sa.text("update flow_run set state_id = (select s.id from "
            "flow_run_state s where s.flow_run_id = flow_run.id)"))
asyncio.run(fill())
"""


def fourteen_months(count: int) -> Path:
    """A database with `count` runs, as many events and thrice the logs, evenly over 438 days."""
    path = home().root / "prefect" / "prefect.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PREFECT_HOME": str(path.parent),
           "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", YEAR, str(count)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, [x[:300] for x in done.stderr.splitlines()[-12:]]
    return path


def rows(path: Path) -> dict[str, int]:
    connection = sqlite3.connect(path)
    tables = ("flow_run", "flow_run_state", "log", "events", "event_resources")
    counts = {t: connection.execute(f"select count(*) from {t}").fetchone()[0] for t in tables}
    connection.close()
    return counts


def test_without_a_database_there_is_nothing() -> None:
    assert prefect_history.expired(home(), RetentionSettings()) == {"runs": 0, "events": 0}
    assert prefect_history.clear(home(), RetentionSettings())["bytes"] == 0


def spent(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(900)
def test_of_fourteen_months_of_runs_a_year_stays_and_answers_in_three_seconds() -> None:
    path = fourteen_months(12_000)
    keep = RetentionSettings()
    found = prefect_history.expired(home(), keep)
    assert found["runs"] == pytest.approx(2_000, abs=30)
    assert found["events"] == pytest.approx(12_000 * 408 / 438, abs=60)
    assert rows(path)["flow_run"] == 12_000, "counting removes nothing"
    gone = prefect_history.clear(home(), keep)
    left = rows(path)
    assert left["flow_run"] == left["flow_run_state"] == pytest.approx(10_000, abs=40)
    assert left["log"] == 3 * left["flow_run"]
    assert left["events"] == left["event_resources"] == pytest.approx(12_000 * 30 / 438, abs=60)
    assert gone["bytes"] > 1_000_000, "the file has shrunk"
    assert prefect_history.expired(home(), keep) == {"runs": 0, "events": 0}
    _answers_quickly(path)


def _answers_quickly(path: Path) -> None:
    """A year of 10,000 runs: what pages and `status` ask takes the server under 3 CPU seconds."""
    from headrace.tasks.operations import status

    env = {**os.environ, **prefect_environment(RetentionSettings()),
           "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}"}  # fmt: skip
    with prefect_process(path.parent, env) as (api, server):
        time.sleep(5)
        process = psutil.Process(server.pid)
        pages: dict[str, Any] = {
            # The runs page, the dashboard's bars, the events page, and a flow's page.
            "/flow_runs/paginate": {"sort": "START_TIME_DESC", "limit": 50, "page": 1},
            "/ui/flow_runs/history": {"sort": "START_TIME_DESC", "limit": 1000},
            "/flow_runs/count": {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
            "/flows/paginate": {"limit": 50, "page": 1},
            "/events/filter": {"filter": {}, "limit": 50},
        }
        for page, body in pages.items():
            before = spent(process)
            said = request(api, "POST", page, body)
            assert said and spent(process) - before < 3, page
        before, own = spent(process), time.process_time()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PREFECT_API_URL", api)
            status._asked(servers.own_prefect(api, None))
        assert spent(process) - before < 3
        assert time.process_time() - own < 6, "with the import of Prefect's client"


def test_what_prefects_server_is_told_is_what_it_reads() -> None:
    code = (
        "import json; from prefect.settings.context import get_current_settings as g; "
        "s = g().server; v = s.services.db_vacuum; print(json.dumps(["
        "sorted(v.enabled_vacuum_types), v.retention_period.days, s.events.retention_period.days]))"
    )
    told = prefect_environment(RetentionSettings(runs_days=100, events_days=9))
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **told}, stdout=-1)
    assert json.loads(done.stdout) == [["events", "flow_runs", "orphans"], 100, 9]
