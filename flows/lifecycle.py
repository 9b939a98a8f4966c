"""The whole chain in one flow: what `make run` runs."""

from __future__ import annotations

from typing import Any

from prefect import flow

from headrace.flows.align import align
from headrace.flows.curate import curate
from headrace.flows.gate import gate_first
from headrace.flows.pretrain import pretrain
from headrace.flows.retrain import RetrainJob, retrain
from headrace.infra.configuration.settings import Settings
from headrace.infra.errors import UsageError
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import RunVerb
from headrace.tasks.corpus.curation import release_of
from headrace.tasks.corpus.given_release import take_release
from headrace.tasks.corpus.tokens import tokenize_corpus
from headrace.tasks.lifecycle import (
    begin_chain,
    chain_answer,
    chain_sources,
    check_beforehand,
    round_once,
    round_settings,
    window_key,
)
from headrace.tasks.mlflow_log import chain_run, record_chain
from headrace.tasks.models.training import pretrain_of
from headrace.tasks.reporting.chain_report import write_report
from headrace.tasks.retraining.window import Window
from headrace.tasks.task import once


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
def lifecycle(job: LifecycleJob) -> dict[str, Any]:
    """Text or a finished release in, a gated model out, and a round through drift."""
    s, began = job.settings, milliseconds()
    check_beforehand(job.window, s.gate)
    if job.release:
        if job.inputs:
            raise UsageError("a chain starts from text or from a release", "give one of the two")
        window = Window.of(job.window) if job.window else None
        release = take_release(job.release)
    else:
        sources, window, home = chain_sources(job.inputs, job.window)
        release = curate(release_of(sources, home, s.curate, s))
    chain = begin_chain(release, s, began)
    with chain_run(chain["run_id"]):
        tokens = tokenize_corpus(release, s.tokenize, s)
        base = pretrain(pretrain_of(tokens, s.pretrain, s), chain["run_id"])
        aligned = align(base, release, tokens, s.align, s, chain["run_id"])
        first = gate_first(aligned, base, tokens, [release["release"]], s.gate, s, chain["run_id"])
        again, key = None, window_key(window) if window else "none"
        if window and first["decision"] == "promote" and first["champion"]:
            again = round_once(
                chain["folder"],
                key,
                first["champion"],
                lambda version: retrain(
                    RetrainJob(window=window, champion=version, settings=round_settings(s)),
                    chain["run_id"],
                ),
            )
        answer = chain_answer(release, tokens, base, aligned, first, again)
        answer = write_report(answer, chain["folder"])
        # Once without the round and once with it: a person may promote the first model in between.
        glance = f"glance-{key}-{again['champion']}" if again else "glance"
        run = chain["run_id"]
        once(chain["folder"], f"{glance}-{run}.json", lambda: record_chain(run, answer))
        return answer
