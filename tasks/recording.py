"""A finished stage in MLflow: parameters, curves, figures, files; the same stage once only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.infra import stack
from headrace.infra.home import home
from headrace.infra.lineage import digest
from headrace.infra.registry import Registry
from headrace.infra.tracking import Tracking


def tracking() -> Tracking:
    """The tracking store of this state folder: the stack's server while that is up."""
    return Tracking(home(), stack.tracking_uri(home()))


def registry(name: str) -> Registry:
    """The registered model of this name."""
    return Registry(tracking(), name)


def open_chain(name: str, identity: Any, tags: dict[str, Any]) -> str:
    """The parent run of a chain: found again, or begun."""
    store = tracking()
    key = digest([name, identity])
    if found := store.find_run(key):
        return found
    run = store.start_run(name, {"headrace.key": key, **tags})
    store.finish(run)
    return run


def record_chain(run: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The chain's figures at a glance on its parent run; they are returned."""
    bits = {k: v["metrics"]["bits_per_byte"]["value"] for k, v in answer["evaluation"].items()}
    figures = {
        **{k: answer[k] for k in ("read", "kept", "rejected", "unreadable")},
        **{k: answer[k] for k in ("total_parameters", "active_parameters")},
        "bits_per_byte": bits,
        "gain": {stage: m["gain"] for stage, m in answer["alignment"].items()},
    }
    store = tracking()
    store.log_values(run, figures)
    again = answer["round"] or {}
    decisions = {"decision": answer["decision"], "round_decision": again.get("decision")}
    store.log_params(run, {k: v for k, v in decisions.items() if v})
    return figures


def record_stage(
    stage: str,
    folder: str | Path,
    answer: dict[str, Any],
    settings: dict[str, Any],
    tags: dict[str, Any],
    parent: str | None = None,
    curves: bool = True,
) -> str:
    """The MLflow run of a finished stage; recording it again gives the same run.

    `curves`: whether the folder's metrics.jsonl is the stage's own.
    """
    store = tracking()
    key = digest([stage, home().relative(Path(folder)), parent])
    if found := store.find_run(key):
        return found
    # A run that a kill left half written stays unfinished, so it is neither found nor counted.
    run = store.start_run(stage, {"headrace.key": key, "stage": stage, **tags}, parent)
    store.log_params(run, settings)
    if curves:
        store.log_curve(run, Path(folder) / "metrics.jsonl")
    store.log_values(run, {k: v for k, v in answer.items() if k != "job"})
    store.finish(run)
    return run
