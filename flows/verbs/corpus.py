"""Verbs that start from text: the whole chain, and its steps up to tokens."""

from __future__ import annotations

import time

import click
from pydantic import JsonValue

from headrace.flows.cli_runtime import PLACE, Answer, Call, not_built, start_prefect, verb
from headrace.flows.verbs.places import release_folder, there
from headrace.infra import storage
from headrace.infra.errors import UsageError
from headrace.infra.visible import visible

verbs = click.Group()
_of_release = click.option(
    "--release",
    required=True,
    type=PLACE,
    metavar="URI",
    help="A release, or an output folder: its newest.",
)


@verb(verbs, "run", "headrace run --input corpus/ --window news-of-may.jsonl")
@click.option(
    "--input", "inputs", multiple=True, type=PLACE, metavar="URI", help="Your own text. Repeatable."
)
@click.option(
    "--release",
    type=PLACE,
    metavar="URI",
    help="A finished release to start from, in place of text.",
)
@click.option("--window", type=PLACE, metavar="URI", help="Text for the drift round.")
def run(call: Call, inputs: tuple[str, ...], release: str | None, window: str | None) -> Answer:
    """The whole chain: text in, a gated model out, and a round through drift.

    Without --input or --release it takes real text that pinned packages ship. What is finished is
    reused, what was killed resumes.
    """
    if inputs and release:
        raise UsageError("run takes --input or --release", "give one of the two")
    from headrace.tasks.configuration.settings import RunConfig

    settings, sources = call.settings(RunConfig), list(map(there, inputs))
    drifting = there(window) if window else None
    from headrace.tasks.input_checks import check_policy, release_to_start_from

    check_policy(settings.gate.policy)
    if release:
        release_to_start_from(release)
    start_prefect()
    from headrace.flows.lifecycle import lifecycle
    from headrace.flows.summaries.chain import run_screen

    made = lifecycle(sources, release, drifting, settings)
    return Answer(made.as_json(), run_screen(made), 0 if made.first.promoted else 5)


@verb(verbs, "curate", "headrace curate --input corpus/*.jsonl.gz --output curated")
@click.option("--input", "inputs", multiple=True, required=True, type=PLACE, metavar="URI",
              help="Files, folders or globs, also s3://. Repeatable.")  # fmt: skip
@click.option(
    "--output", required=True, type=PLACE, metavar="URI", help="Gets releases/ID and latest.json."
)
@click.option("--max-unreadable", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Publish nothing above this share of unreadable records or bytes (0.05)."
              )  # fmt: skip
def curate(
    call: Call, inputs: tuple[str, ...], output: str, max_unreadable: float | None
) -> Answer:
    """Five-level cleaning and deduplication of raw text into a release."""
    from headrace.tasks.configuration.settings import CurateConfig

    share: dict[str, JsonValue] = (
        {} if max_unreadable is None else {"input": {"max_unreadable": max_unreadable}}
    )
    settings, sources = call.settings(CurateConfig, **share), list(map(there, inputs))
    place = storage.writable_folder(output)
    start_prefect()
    from headrace.flows.curate import curate as flow
    from headrace.flows.summaries.chain import release_screen
    from headrace.tasks.answers import release_answer

    began = time.monotonic()
    release = flow(sources, place, settings=settings)
    data = release_answer(release, time.monotonic() - began)
    return Answer(data, release_screen(release))


@verb(verbs, "replay", "headrace replay --release R --set semantics.threshold=0.8 --output O")
@click.option("--release", type=PLACE, metavar="URI")
@click.option("--output", type=PLACE, metavar="URI")
def replay(call: Call, release: str | None, output: str | None) -> Answer:
    """A new release from stored scores (not built yet)."""
    return not_built("replay", "`headrace curate` with the new settings gives the same release")


@verb(verbs, "validate", "headrace validate --release curated/releases/ID")
@_of_release
def validate(call: Call, release: str) -> Answer:
    """Hold a release against the expectations."""
    from headrace.tasks.configuration.settings import CurateConfig

    call.settings(CurateConfig)
    folder = release_folder(release)
    from headrace.infra.artifacts import Release
    from headrace.tasks.answers import validation_answer
    from headrace.tasks.corpus.curation import validate_finished

    count = validate_finished(folder)
    data = validation_answer(Release.load(folder), count)
    return Answer(data, visible(f"{folder}: all {count} expectations hold"))


@verb(verbs, "tokenize", "headrace tokenize --release curated/releases/ID --output tokens")
@_of_release
@click.option("--output", required=True, type=PLACE, metavar="URI", help="The folder to write.")
def tokenize(call: Call, release: str, output: str) -> Answer:
    """Packed token shards of a release, train/ and heldout/."""
    from headrace.tasks.configuration.settings import TokenizeConfig

    settings, place = call.settings(TokenizeConfig), storage.writable_folder(output)
    folder = release_folder(release)
    from headrace.tasks.answers import tokens_answer
    from headrace.tasks.corpus.tokens import tokenize_release

    made = tokenize_release(folder, place, settings)
    text = f"{made.tokens:,} tokens, {made.heldout_tokens:,} held out: {made.folder}"
    return Answer(tokens_answer(made), visible(text))
