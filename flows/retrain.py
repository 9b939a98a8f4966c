"""Drift -> curate window -> EWC -> gate -> promote or refuse."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from headrace.flows.curate import curate
from headrace.flows.gate import gate
from headrace.infra.configuration.settings import Settings
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import RetrainVerb
from headrace.tasks.corpus.curation import Source
from headrace.tasks.lifecycle import check_beforehand
from headrace.tasks.mlflow_log import chain_run
from headrace.tasks.retraining.drift import compare_texts
from headrace.tasks.retraining.round import (
    Retrained,
    begin_round,
    check_enough,
    end_round,
    learn_window,
    no_drift,
    retrained_candidate,
    round_comparison,
    starting_point,
    window_job,
)


class RetrainJob(Settings):
    """One round of retraining."""

    window: str | tuple[Source, ...]
    """Release or raw text."""
    force: bool = False
    """Skip the drift test."""
    champion: str
    """Version to start from."""
    settings: RetrainVerb = RetrainVerb()


@flow(name="retrain", flow_run_name="retrain")
def retrain(job: RetrainJob, chain: str | None = None) -> Retrained:
    """The champion taught a window it did not know, or refused to be."""
    settings, began = job.settings, milliseconds()
    check_beforehand(job.window if isinstance(job.window, str) else None, settings.gate)
    champion = starting_point(job.champion, settings)
    verdict = None
    if not job.force:
        verdict = compare_texts(
            champion["release"],
            job.window,
            settings.monitor,
            settings.curate,
            settings,
            champion["version"],
        )
        if not verdict["drift"]:
            return no_drift(verdict, settings)
    child = curate(window_job(job.window, champion, settings))
    check_enough(child, settings)
    parent = chain or begin_round(champion, child, verdict, settings, began)
    with chain_run(parent):
        trained = learn_window(champion, child, settings, parent)
        judged = milliseconds()
        contest = round_comparison(champion, child, trained, settings, judged)
        candidate = retrained_candidate(champion, child, trained)
        gated = gate(contest, settings.gate, candidate, parent)
        made = Retrained(verdict, gated.champion, child, trained, gated)
        if chain is None:
            end_round(parent, Path(trained.folder), made.changes, gated)
        return made
