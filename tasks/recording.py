"""A finished stage in MLflow: parameters, curves, figures, files; the same stage once only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.infra.endpoints import endpoints
from headrace.infra.home import home
from headrace.infra.lineage import digest
from headrace.infra.registry import Registry
from headrace.infra.tracking import Tracking
from headrace.tasks.curves import stage_drawings


def tracking() -> Tracking:
    """The tracking store: another's server where one is named, the stack's while that is up, else
    the state folder's own. Asked anew each time: a stack may have come up meanwhile."""
    found = endpoints(home())
    found.join()
    return Tracking(home(), found.mlflow.url, found.mlflow.own)


def registry(name: str) -> Registry:
    """The registered model of this name."""
    return Registry(tracking(), name)


def open_chain(name: str, identity: Any, tags: dict[str, Any]) -> str:
    """The parent run of a chain or a round: found again, or begun."""
    store = tracking()
    key = digest([name, identity])
    if found := store.find_run(key):
        return found
    run = store.start_run(name, {"headrace.key": key, **tags})
    _log_input(store, run, tags)
    # Finished from the start, or a killed chain would never find its parent run again.
    store.finish(run)
    return run


def record_chain(run: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The chain's figures, decision and page on its parent run; the figures are returned."""
    bits = {k: v["metrics"]["bits_per_byte"]["value"] for k, v in answer["evaluation"].items()}
    figures = {
        **{k: answer[k] for k in ("read", "kept", "rejected", "unreadable")},
        **{k: answer[k] for k in ("total_parameters", "active_parameters")},
        "bits_per_byte": bits,
        "gain": {stage: m["gain"] for stage, m in answer["alignment"].items()},
    }
    store = tracking()
    store.log_values(run, figures)
    store.log_file(run, Path(answer["report"]))
    again = answer["round"] or {}
    champion = again.get("champion") or answer["champion"]
    close_chain(run, answer["decision"], champion, round_decision=again.get("decision"))
    return figures


def close_chain(run: str, decision: str | None, champion: str | None, **tags: Any) -> None:
    """What a chain or a round came to, on its parent run, which lasted until now."""
    store = tracking()
    store.tag(run, {"decision": decision, "champion": champion, **tags})
    store.finish(run)


def record_stage(
    stage: str,
    folder: str | Path,
    answer: dict[str, Any],
    settings: dict[str, Any],
    tags: dict[str, Any],
    parent: str | None = None,
    curves: bool = True,
    variant: str | None = None,
) -> str:
    """The MLflow run of a finished stage; recording it again gives the same run.

    `curves`: whether the folder's metrics.jsonl is the stage's own.
    `variant`: which of several of the same stage and folder it is.
    """
    store = tracking()
    place = home().relative(Path(folder))
    key = digest([stage, place, parent, variant])
    if found := store.find_run(key):
        return found
    # A run that a kill left half written stays unfinished, so it is neither found nor counted.
    run = store.start_run(
        stage, {"headrace.key": key, "stage": stage, "folder": place, **tags}, parent
    )
    _log_input(store, run, tags)
    store.log_params(run, settings)
    if curves:
        store.log_curve(run, Path(folder) / "metrics.jsonl")
        log_plots(run, stage_drawings(stage, folder))
    store.log_values(run, {k: v for k, v in answer.items() if k != "job"})
    store.finish(run)
    return run


def log_plots(run: str, drawings: dict[str, str]) -> None:
    """{file name: SVG} as artifacts, which MLflow shows as pictures."""
    store = tracking()
    for name, svg in drawings.items():
        store.log_text(run, svg, f"plots/{name}")


def _log_input(store: Tracking, run: str, tags: dict[str, Any]) -> None:
    if release := tags.get("release_id"):
        store.log_release(run, str(home().root / "releases" / release))
