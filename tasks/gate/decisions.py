"""A person's decisions on model versions, and the check of the file that records them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from headrace.infra import audit
from headrace.infra.configuration.settings import Shared
from headrace.infra.registry.rules import DECISIONS, Decision
from headrace.infra.state.state_dir import home
from headrace.tasks.mlflow_log import registry


def decide_version(
    version: str, promote: bool, who: str, why: str, shared: Shared, stale: bool = False
) -> dict[str, Any]:
    """The answer of `headrace decide`: {version, decision, champion, by, why, from}.

    `stale` promotes what waits although its rival is the champion no longer.

    Raises:
        UsageError: no such version, it is the champion already, nobody or no reason is named, or
            the comparison is stale.
    """
    return _answer(registry(shared.model.name).decide(version, promote, who, why, stale))


def roll_back(who: str, why: str, shared: Shared) -> dict[str, Any]:
    """The answer of `headrace rollback`, likewise; `version` is the one that is champion again.

    `skipped` [{version, because}]: former champions between the two that can't be one again.

    Raises:
        UsageError: there was no champion before, or nobody or no reason is named.
    """
    made = registry(shared.model.name).rollback(who, why)
    return {**_answer(made), "skipped": made.entry["skipped"]}


def _answer(made: Decision) -> dict[str, Any]:
    return {
        "version": made.version,
        "decision": made.action,
        "champion": made.to,
        "by": made.who,
        "why": made.why,
        "from": made.before,
    }


def recorded_decisions() -> dict[str, Any]:
    """The answer of `headrace audit show`: {file, decisions, lines}, the oldest first.

    `lines` has what else was recorded as well: releases, deployments, thresholds, removals, and
    aliases that were moved in MLflow.

    Raises:
        ValidationError: a line was edited, is missing or stands elsewhere.
    """
    lines = audit.read(home().audit)
    decisions = [line for line in lines if line["action"] in DECISIONS]
    return {"file": str(home().audit), "decisions": decisions, "lines": lines}


def verify_decisions() -> dict[str, Any]:
    """The answer of `headrace audit verify`: {file, lines, last, torn, unsigned}.

    Raises:
        ValidationError: a line was edited, is missing, stands elsewhere or was forged.
    """
    return asdict(audit.verify(home().audit))
