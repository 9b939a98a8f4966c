"""The whole chain in one flow: what `make run` runs."""

from __future__ import annotations

import functools
from typing import Any

from prefect.client.schemas.objects import State

from headrace.flows import run_states
from headrace.flows.align import align
from headrace.flows.box import Outcome, box
from headrace.flows.curate import curate
from headrace.flows.gate import gate
from headrace.flows.pretrain import pretrain
from headrace.flows.retrain import retrained
from headrace.flows.retrain_round import RetrainJob
from headrace.flows.run_states import RunState, ended
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.configuration.settings import RunConfig
from headrace.tasks.corpus.given_release import take_release
from headrace.tasks.corpus.tokens import tokenize_corpus
from headrace.tasks.gate.contests import first_comparison, measure_quality
from headrace.tasks.gate.promotion import Gated
from headrace.tasks.lifecycle import (
    Chain,
    chain_of,
    finish,
    round_once,
    round_settings,
    start_of,
    window_key,
)
from headrace.tasks.models.training import pretrain_of
from headrace.tasks.reporting import run_artifacts
from headrace.tasks.retraining.round import Retrained

_SETTINGS = RunConfig()


@box("lifecycle", hours=30 * 24)
def lifecycle(
    input: list[str] | None = None,
    release: str | None = None,
    window: str | None = None,
    settings: RunConfig = _SETTINGS,
) -> Outcome[Lifecycle]:
    """All of the chain: text or a release in, a gated model out, and a round through drift.

    Args:
        input: Files, folders or globs, also s3://; none: the text of pinned packages.
        release: Finished release to start from in place of text: its folder, its output folder (the
            newest), or its id.
        window: Raw text for the drift round; none: the packages', or no round with own input or
            release.
        settings: As `headrace run` takes them by --config and --set.
    """
    s, start = settings, start_of(tuple(input or ()), release, window, settings)
    corpus = curate(job=start.curation) if start.curation else take_release(str(release))
    with chain_of(corpus, start) as chain:
        tokens = tokenize_corpus(corpus, s.tokenize, s)
        base = pretrain(pretrain_of(tokens, s.pretrain, s), chain.run)
        aligned = align(base, corpus, tokens, s.align, s, chain.run)
        quality = measure_quality(aligned.model, base, tokens, corpus, s)
        contest = first_comparison(aligned.model, corpus, quality, s)
        first = gate(contest, s.gate, aligned.candidate(corpus), chain.run)
        again = _retrain(chain, first, s)
        made = Lifecycle(corpus, tokens, base, aligned, quality, first, again, chain.seconds)
        return _outcome(finish(chain, made), s)


def _retrain(chain: Chain, first: Gated, settings: RunConfig) -> Retrained | None:
    """The chain's drift round, None where there is no window or no champion."""
    window = chain.window
    if not window or not first.promoted or not first.champion:
        return None

    def make(version: str) -> Retrained:
        job = RetrainJob(window=window, champion=version, settings=round_settings(settings))
        return retrained(job, chain.run)

    return round_once(chain.folder, window_key(window), first.champion, make)


def _outcome(made: Lifecycle, settings: RunConfig) -> Outcome[Lifecycle]:
    return Outcome(made, functools.partial(_page, made, settings))


def _page(made: Lifecycle, settings: RunConfig, began: float) -> State[Any]:
    """The ledger, the gate's decision and the report; what a person should know is reported."""
    first = made.first
    run_artifacts.rename(f"lifecycle-{made.release.id[:12]}")
    run_artifacts.show_ledger(made.release)
    run_artifacts.show_gate(first)
    run_artifacts.show_links({"report": made.report})
    for gated in (first, made.again.gated if made.again else None):
        if gated:
            run_states.report_gate(settings, "lifecycle", gated)
    reason = "; ".join(first.reasons)
    if first.overtaken:
        return ended(RunState.OVERTAKEN, reason)
    if not first.promoted:
        return ended(RunState.REFUSED, reason)
    if first.waiting:
        return ended(RunState.WAITING, f"version {first.version} waits for a person")
    if run_artifacts.older(made.report, began):
        return ended(RunState.CACHED, f"all was there already: {made.report}")
    return ended(RunState.COMPLETED, reason)
