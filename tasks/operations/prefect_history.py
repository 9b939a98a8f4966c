"""What Prefect's database keeps of the past: counted, and cleared by Prefect's own vacuum.

While the stack is up its server clears it every hour. For a state folder whose commands bring their
own server, which lives for seconds, `headrace gc` does, in its own process:

    python -m headrace.tasks.operations.prefect_history count|clear
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys

from headrace.infra.errors import HeadraceError
from headrace.infra.stack import database
from headrace.infra.stack.retention import RetentionSettings, prefect_environment
from headrace.infra.state.state_dir import Home


def expired(home: Home, settings: RetentionSettings) -> dict[str, int]:
    """Return {`runs`, `events`}: how many are older than they are kept; zeros without a database.

    Raises:
        HeadraceError: the database can't be read.
    """
    return _ask(home, settings, "count")


def clear(home: Home, settings: RetentionSettings) -> dict[str, int]:
    """Remove what `expired` counts; {`runs`, `events`, `bytes`}: how many, and what that freed.

    Raises:
        HeadraceError: the database can't be written.
    """
    before = _bytes(home)
    gone = _ask(home, settings, "clear")
    if any(gone.values()) and before:
        try:
            with sqlite3.connect(home.root / "prefect" / "prefect.db", timeout=5) as connection:
                connection.execute("vacuum")
            connection.close()
        except sqlite3.OperationalError:  # a server uses it: the room is used again
            pass
    return {**gone, "bytes": max(0, before - _bytes(home))}


def _bytes(home: Home) -> int:
    return sum(p.stat().st_size for p in (home.root / "prefect").glob("prefect.db*"))


def _ask(home: Home, settings: RetentionSettings, what: str) -> dict[str, int]:
    server = database.kept(home)
    if server is None and not (home.root / "prefect" / "prefect.db").exists():
        return {"runs": 0, "events": 0}
    done = subprocess.run(  # nosec B603 # no shell; own module
        [sys.executable, "-m", __name__, what],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")},
            "PREFECT_HOME": str(home.root / "prefect"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.stores(home, server)[0],
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            **database.prefect_environment(server),
            **prefect_environment(settings),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    try:
        answer: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise HeadraceError(
            "old records can't be removed from Prefect's database",
            "see the log; where the stack is up, its server does it every hour",
        ) from None
    return answer


async def _count() -> dict[str, int]:
    import sqlalchemy as sa
    from prefect.server.database import provide_database_interface
    from prefect.server.schemas.states import TERMINAL_STATES
    from prefect.settings.context import get_current_settings
    from prefect.types._datetime import now

    db, server = provide_database_interface(), get_current_settings().server
    runs = sa.select(sa.func.count()).select_from(db.FlowRun).where(
        db.FlowRun.parent_task_run_id.is_(None),
        db.FlowRun.state_type.in_(TERMINAL_STATES),
        db.FlowRun.end_time < now("UTC") - server.services.db_vacuum.retention_period,
    )  # fmt: skip
    events = sa.select(sa.func.count()).select_from(db.Event).where(
        db.Event.occurred < now("UTC") - server.events.retention_period
    )  # fmt: skip
    async with db.session_context() as session:
        counts = [(await session.execute(q)).scalar_one() for q in (runs, events)]
    return {"runs": counts[0], "events": counts[1]}


async def _clear() -> dict[str, int]:
    from prefect.server.database import provide_database_interface
    from prefect.server.services import db_vacuum

    db, found = provide_database_interface(), await _count()
    await db_vacuum.vacuum_old_flow_runs(db=db)
    await db_vacuum.vacuum_orphaned_logs(db=db)
    await db_vacuum.vacuum_orphaned_artifacts(db=db)
    await db_vacuum.vacuum_stale_artifact_collections(db=db)
    await db_vacuum.vacuum_events_with_retention_overrides(db=db)
    await db_vacuum.vacuum_old_events(db=db)
    return found


def main(what: str) -> None:
    """Count or clear, and print the answer as a line of JSON."""
    work = {"count": _count, "clear": _clear}[what]
    print(json.dumps(asyncio.run(work())))


if __name__ == "__main__":
    main(sys.argv[1])
