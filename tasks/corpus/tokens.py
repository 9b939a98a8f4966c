"""Tokens of a release: the tokenizer, packed shards, and their expectations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from headrace.infra import storage
from headrace.infra.artifacts import Inputs, Release, TokenSet, produce
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import ValidationError
from headrace.infra.lineage import code_version, digest
from headrace.infra.spark import session, submit
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.token_settings import TokenizeSettings
from headrace.spark_jobs.tokens import tokenize_job
from headrace.spark_jobs.tokens.plan import TokenizeJob
from headrace.tasks.configuration.settings import TokenizeConfig, component
from headrace.tasks.task import step


def tokenize_release(release: str, output: str, settings: TokenizeConfig) -> TokenSet:
    """Token shards of a release in a folder of the user's."""
    return _tokenize(_job(release, output, component(settings, TokenizeSettings), settings))


@step("tokenize")
def tokenize_corpus(release: Release, settings: TokenizeSettings, shared: Shared) -> TokenSet:
    """Token shards of a release in the state folder."""
    code = code_version("spark_jobs.tokens.tokenize_job")
    key = digest([release.id, settings.model_dump(), shared.seed, code])[:12]

    def make(folder: Path) -> TokenSet:
        return _tokenize(_job(release.folder, str(folder), settings, shared))

    return produce(TokenSet, Inputs(home().tokens / key), make)


def _job(release: str, output: str, settings: TokenizeSettings, shared: Shared) -> TokenizeJob:
    return TokenizeJob(
        release=release, output=output, settings=settings, spark=shared.spark, seed=shared.seed
    )


def _tokenize(job: TokenizeJob) -> TokenSet:
    from headrace.expectations.tokens import validate

    # Submitted, the step gives the cluster's cores back when it ends; what comes next needs them.
    if session.is_cluster(job.spark):
        answer = submit.run(tokenize_job.__file__, job, job.spark)
    else:
        answer = asdict(tokenize_job.tokenize(lambda: session.session(job.spark), job))
    if not answer["reused"]:
        result = validate(storage.display(job.output))
        if not result.success:
            raise ValidationError(f"{job.output}: {result.failed[0]}", "tokenize to a new folder")
    return TokenSet.load(job.output).model_copy(update={"reused": bool(answer["reused"])})
