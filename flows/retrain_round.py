"""A round of retraining: drift -> curate window -> EWC -> gate -> promote or refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headrace.flows.curate import curate
from headrace.flows.gate import gate
from headrace.infra.configuration.settings import Settings
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import RetrainConfig
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
from headrace.tasks.retraining.rounds import one_round
from headrace.tasks.retraining.window import Window


class RetrainJob(Settings):
    """One round of retraining."""

    window: Window
    """What it learns."""
    force: bool = False
    """Skip the drift test."""
    champion: str | None = None
    """Version to start from; None: the champion, or where a round that was killed started."""
    closes: bool = False
    """No further round is begun on its windows unasked."""
    settings: RetrainConfig = RetrainConfig()


def retrain_once(
    job: RetrainJob,
    chain: str | None = None,
    report: Callable[[Retrained], None] | None = None,
) -> Retrained:
    """The champion taught a window it did not know, or refused to be.

    `report` is called with the result before the round is recorded as ended, so that a kill in
    between repeats it.
    """
    model = job.settings.model.name
    with one_round(job.window.parts, model, job.champion, job.closes) as attempt:
        made = _teach(job, attempt.champion, chain)
        if report is not None:
            report(made)
        attempt.state = made.outcome
    return made


def _teach(job: RetrainJob, version: str, chain: str | None) -> Retrained:
    settings, began = job.settings, milliseconds()
    check_beforehand(job.window.single, settings.gate)
    champion = starting_point(version, settings)
    finding = None
    if not job.force:
        finding = compare_texts(
            champion.release,
            job.window,
            settings.monitor,
            settings.curate,
            settings,
            champion.number,
        )
        if not finding.drift:
            return no_drift(finding, settings)
    child = curate(job=window_job(job.window, champion, settings))
    check_enough(child, settings)
    parent = chain or begin_round(champion, child, finding, settings, began)
    with chain_run(parent):
        trained = learn_window(champion, child, settings, parent)
        judged = milliseconds()
        contest = round_comparison(champion, child, trained, settings, judged)
        candidate = retrained_candidate(champion, child, trained)
        gated = gate(contest, settings.gate, candidate, parent)
        made = Retrained(finding, gated.champion, child, trained, gated)
        if chain is None:
            end_round(parent, Path(trained.folder), made.changes, gated)
        return made
