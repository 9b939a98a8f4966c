"""The end of `headrace up` and `deploy`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.flows.summaries.layout import rule, table
from headrace.infra.json_types import Json

if TYPE_CHECKING:  # a command's last screen imports nothing heavy
    from headrace.flows.deployments import Deployed
    from headrace.infra.stack.stack import ServiceState
    from headrace.infra.stack.ways_in import WaysIn


def stack_screen(
    services: Sequence[ServiceState],
    ways: WaysIn,
    without_worker: Sequence[str],
    alerts_sent: int,
) -> str:
    """The end of `headrace up`: what runs and where, how to log in, and how from elsewhere."""
    rows = [f"  {'what':<16}{'address':<32}{'pid':<9}state"]
    rows += [f"  {s.name:<16}{s.address:<32}{s.pid:<9}{s.state}" for s in services]
    about = [(name, url) for name, url in ways.pages.items() if url]
    about.append(("log in", f"as `{ways.user}`; the passwords: `headrace env`"))
    if ways.tunnel:
        about.append(("from a laptop", f"{ways.tunnel}, then the same addresses there"))
    about += _afterwards(without_worker, alerts_sent)
    return "\n".join([rule("stack"), *rows, "", *table(about)])


def deployments_screen(made: Deployed) -> str:
    """The end of `headrace deploy`."""
    rows = [
        (d.name, (", ".join([*d.schedules, *d.automations]) or "on demand")
         + (f"; paused: {', '.join(d.paused)}" if d.paused else ""))
        for d in made.deployments
    ]  # fmt: skip
    rows += [("changed", f"{c.setting}: {_value(c.before)} -> {_value(c.after)}")
             for c in made.changed]  # fmt: skip
    rows += [
        ("set back", f"{e.deployment} {e.parameter}: {_value(e.before)} -> {_value(e.after)} "
         "(changed in Prefect's pages; --set keeps it)")
        for e in made.edited
    ]  # fmt: skip
    rows += _afterwards(made.without_worker, made.alerts_sent)
    rows += [("kept in", made.kept), ("see", made.prefect)]
    return "\n".join([rule("deployments"), *table(rows)])


def _afterwards(without_worker: Sequence[str], alerts_sent: int) -> list[tuple[str, str]]:
    """Pools that no worker serves, and the alerts that were sent."""
    rows = []
    if without_worker:
        rows.append(("no worker", _without_worker(without_worker)))
    if alerts_sent:
        rows.append(("alerts", f"{alerts_sent} that waited were sent"))
    return rows


def _without_worker(pools: Sequence[str]) -> str:
    return (
        f"{', '.join(pools)}: runs there wait until a worker serves it "
        "(`headrace down`, then `headrace up`, for a pool of `pools`)"
    )


def _value(value: Json) -> str:
    """A setting's value as `--set` takes it."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
