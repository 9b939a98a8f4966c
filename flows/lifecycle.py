"""The whole chain in one flow: what `make run` runs."""

from __future__ import annotations

from prefect import flow

from headrace.flows.align import align
from headrace.flows.curate import curate
from headrace.flows.gate import gate
from headrace.flows.pretrain import pretrain
from headrace.flows.retrain import RetrainJob, retrain
from headrace.infra.configuration.settings import Settings
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.configuration.settings import RunVerb
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
from headrace.tasks.retraining.round import Retrained


class LifecycleJob(Settings):
    """A run of the whole chain."""

    inputs: tuple[str, ...] = ()
    """URIs of raw text; none: the text of pinned packages."""
    release: str | None = None
    """Finished release to start from in place of text: a folder, or an id in the state folder."""
    window: str | None = None
    """Raw text for the drift round; None: the packages', or no round with own inputs or release."""
    settings: RunVerb = RunVerb()


@flow(name="lifecycle", flow_run_name="lifecycle-{job.settings.pretrain.preset}")
def lifecycle(job: LifecycleJob) -> Lifecycle:
    """Text or a finished release in, a gated model out, and a round through drift."""
    s, start = job.settings, start_of(job.inputs, job.release, job.window, job.settings)
    release = curate(start.curation) if start.curation else take_release(str(job.release))
    with chain_of(release, start) as chain:
        tokens = tokenize_corpus(release, s.tokenize, s)
        base = pretrain(pretrain_of(tokens, s.pretrain, s), chain.run)
        aligned = align(base, release, tokens, s.align, s, chain.run)
        quality = measure_quality(aligned.model, base, tokens, release, s)
        contest = first_comparison(aligned.model, release, quality, s)
        first = gate(contest, s.gate, aligned.candidate(release), chain.run)
        again = _retrain(chain, first, s)
        made = Lifecycle(release, tokens, base, aligned, quality, first, again, chain.seconds)
        return finish(chain, made)


def _retrain(chain: Chain, first: Gated, settings: RunVerb) -> Retrained | None:
    """The chain's drift round, None where there is no window or no champion."""
    window = chain.window
    if not window or not first.promoted or not first.champion:
        return None

    def make(version: str) -> Retrained:
        job = RetrainJob(window=window, champion=version, settings=round_settings(settings))
        return retrain(job, chain.run)

    return round_once(chain.folder, window_key(window), first.champion, make)
