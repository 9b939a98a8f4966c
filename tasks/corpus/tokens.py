"""Tokens of a release: the tokenizer, packed shards, and their expectations."""

from __future__ import annotations

from typing import Any

from headrace.infra import storage
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import ValidationError
from headrace.infra.lineage import code_version, digest
from headrace.infra.spark import session, submit
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.token_settings import TokenizeSettings
from headrace.spark_jobs.tokens import tokenize_job
from headrace.spark_jobs.tokens.tokenize_job import TokenizeJob
from headrace.tasks.configuration.settings import TokenizeVerb, component
from headrace.tasks.task import step


def tokenize_release(release: str, output: str, settings: TokenizeVerb) -> dict[str, Any]:
    """The answer of `headrace tokenize`."""
    job = TokenizeJob(
        release=release,
        output=output,
        settings=component(settings, TokenizeSettings),
        spark=settings.spark,
        seed=settings.seed,
    )
    return _tokenize(job)


@step("tokenize")
def tokenize_corpus(
    release: dict[str, Any], settings: TokenizeSettings, shared: Shared
) -> dict[str, Any]:
    """Token shards of a release in the state folder."""
    identity = [release["release_id"], settings.model_dump(), shared.seed]
    output = (
        home().tokens / digest([*identity, code_version("spark_jobs.tokens.tokenize_job")])[:12]
    )
    return _tokenize(
        TokenizeJob(
            release=release["release"],
            output=str(output),
            settings=settings,
            spark=shared.spark,
            seed=shared.seed,
        )
    )


def _tokenize(job: TokenizeJob) -> dict[str, Any]:
    from headrace.expectations.tokens import validate

    # Submitted, the step gives the cluster's cores back when it ends; what comes next needs them.
    if session.is_cluster(job.spark):
        answer = submit.run(tokenize_job.__file__, job, job.spark)
    else:
        answer = tokenize_job.tokenize(lambda: session.session(job.spark), job)
    if not answer["reused"]:
        held = validate(storage.display(job.output))
        if not held.success:
            raise ValidationError(f"{job.output}: {held.failed[0]}", "tokenize to a new folder")
    return answer
