"""Raw text -> five levels -> duplicates -> release."""

from __future__ import annotations

from prefect import flow

from headrace.infra.artifacts import Release
from headrace.tasks.corpus.curation import (
    CurateJob,
    find_duplicates,
    finished_release,
    publish_release,
    score_levels,
    take_inventory,
    validate_input,
    validate_release,
    write_release,
)


@flow(name="curate", flow_run_name="curate")
def curate(job: CurateJob) -> Release:
    """A release of what is fit to train on; asking again returns the finished one."""
    inventory = take_inventory(job)
    if done := finished_release(job, inventory):
        return done
    validate_input(inventory)
    score_levels(job, inventory)
    find_duplicates(job, inventory)
    draft = write_release(job, inventory)
    validate_release(job, draft)
    return publish_release(job, draft)
