"""The Spark steps of a curation by name: called here, or the main that spark-submit runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import JsonValue

from headrace.infra.configuration.settings import Settings
from headrace.infra.spark import session as spark
from headrace.infra.spark.submit import submitted
from headrace.spark_jobs.curate import dedup_job, inventory_job, release_job, scan_job
from headrace.spark_jobs.curate.inventory_job import Inventory
from headrace.spark_jobs.settings import CurateJob

StepName = Literal["scan", "deduplicate", "write"]
STEPS: dict[StepName, Callable[[Any, CurateJob, Inventory], object]] = {
    "scan": scan_job.scan,
    "deduplicate": dedup_job.deduplicate,
    "write": release_job.write,
}
"""Each takes (session, job, inventory) and leaves its result in the work folder."""


class Step(Settings):
    """A step as it is submitted."""

    name: StepName
    job: CurateJob
    work: str
    """Folder in which its inventory is."""


def run(step: Step) -> dict[str, JsonValue]:
    """Do a step in its own session; the answer is empty."""
    session = spark.session(step.job.spark)
    try:
        STEPS[step.name](session, step.job, inventory_job.load(step.work))
    finally:
        session.stop()
    return {}


if __name__ == "__main__":
    submitted(Step, run)
