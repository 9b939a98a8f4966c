"""Raw text -> five levels -> duplicates -> release."""

from __future__ import annotations

import functools
from typing import Any

from prefect.client.schemas.objects import State
from pydantic.json_schema import SkipJsonSchema

from headrace.flows import run_states
from headrace.flows.box import Outcome, box, deployed_run
from headrace.flows.run_settings import on_todays_cluster
from headrace.flows.run_states import RunState, ended
from headrace.infra.artifacts import Release
from headrace.tasks.configuration.settings import CurateConfig, CurateSettings, component
from headrace.tasks.corpus.curation import (
    CurateJob,
    find_duplicates,
    finished_release,
    publish_release,
    release_of,
    score_levels,
    take_inventory,
    validate_input,
    validate_release,
    write_release,
)
from headrace.tasks.lifecycle import chain_sources
from headrace.tasks.operations.following import start_once
from headrace.tasks.reporting import run_artifacts

_SETTINGS = CurateConfig()


@box("curate", hours=48)
def curate(
    input: list[str] | None = None,
    output: str | None = None,
    after_release: str | None = None,
    settings: CurateConfig = _SETTINGS,
    job: SkipJsonSchema[CurateJob | None] = None,  # another flow's, in place of the others
) -> Outcome[Release]:
    """Raw text -> five levels -> duplicates -> release.

    Args:
        input: Files, folders or globs, also s3://; none: the text of pinned packages.
        output: Gets releases/ID and latest.json; none: the state folder.
        after_release: Deployment to start with the release, as lifecycle/on-demand; none: none.
            The same release starts it once.
        settings: As `headrace curate` takes them by --config and --set.
    """
    release = _curated(job or _job(input, output, settings))
    return Outcome(release, functools.partial(_page, release, after_release))


def _curated(job: CurateJob) -> Release:
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


def _job(input: list[str] | None, output: str | None, settings: CurateConfig) -> CurateJob:
    """The curation that a form, or the command, asks for."""
    sources, _, folder = chain_sources(tuple(input or ()), None)
    shared = on_todays_cluster(settings) if deployed_run() else settings
    return release_of(sources, output or folder, component(settings, CurateSettings), shared)


def _page(release: Release, after_release: str | None, began: float) -> State[Any]:
    """The ledger and the links; what is to run on the release is started."""
    run_artifacts.rename(f"curate-{release.id[:12]}")
    run_artifacts.show_ledger(release)
    links: dict[str, str | None] = {"report": release.report}
    then = ""
    if after_release and release.totals.kept:
        run = start_once(after_release, release)
        links["after_release"] = run_states.page_of(run.id)
        then = f"; {after_release} runs on it: {run.name}"
    run_artifacts.show_links(links)
    name = release.id[:12]
    if run_artifacts.older(release.path, began):
        return ended(RunState.CACHED, f"release {name} was there already: nothing was read{then}")
    kept = f"{release.totals.kept} of {release.totals.read} kept"
    return ended(RunState.COMPLETED, f"release {name}: {kept}{then}")
