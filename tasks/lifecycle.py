"""The chain as a whole: where its text comes from, its run folder, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from headrace.infra.artifacts import Artifact, Inputs, Release, find, produce
from headrace.infra.corpora import BASE, WINDOW
from headrace.infra.errors import UsageError
from headrace.infra.lineage import digest
from headrace.infra.state.state_dir import home
from headrace.infra.tracking.runs import milliseconds
from headrace.spark_jobs.curate.inventory_job import list_inputs, survey_all
from headrace.spark_jobs.settings import CurateJob, Source
from headrace.tasks.chain_result import Lifecycle
from headrace.tasks.configuration.settings import GateSettings, RetrainConfig, RunConfig
from headrace.tasks.corpus.curation import fetch_corpora, release_of
from headrace.tasks.gate.promotion import policy_of
from headrace.tasks.mlflow_log import chain_run, close_chain, open_chain, tracking
from headrace.tasks.reporting.chain_report import write_report
from headrace.tasks.retraining.round import Retrained, deciding
from headrace.tasks.retraining.window import Window, check_there
from headrace.tasks.task import relative

_CODE = ("spark_jobs", "training", "expectations")
"""Packages whose code decides what a chain comes to."""


def chain_sources(
    inputs: tuple[str, ...], window: str | None
) -> tuple[tuple[Source, ...], Window | None, str]:
    """Return (inputs, window, output) of a run: the user's own text, or that of pinned packages.

    Own text without an own window has no drift round: the packages' window would tell nothing
    of the user's model.
    """
    output = str(home().root)
    own = Window.of(window) if window else None
    if inputs:
        return tuple(Source(uri=uri) for uri in inputs), own, output
    return fetch_corpora(BASE), own or Window(inputs=fetch_corpora((WINDOW,))), output


def check_beforehand(window: str | None, gate: GateSettings) -> None:
    """Check what is needed only later, so that mistakes surface before hours of work.

    Raises:
        InputError: the window isn't there.
        UsageError: the gate's policy isn't there, or breaks its schema.
    """
    policy_of(gate, "default")
    if window is not None:
        check_there(window)


@dataclass(frozen=True)
class Start:
    """What a chain starts from."""

    curation: CurateJob | None
    """None: a finished release."""
    window: Window | None
    """Text of the drift round; None: there is no round."""
    settings: RunConfig
    began: int
    """When the chain did (ms since 1970)."""


def start_of(
    inputs: tuple[str, ...], release: str | None, window: str | None, settings: RunConfig
) -> Start:
    """Return what a chain with these arguments starts from.

    Raises:
        InputError, UsageError: see `check_beforehand`; or text and a release are given.
    """
    began = milliseconds()
    check_beforehand(window, settings.gate)
    if release is not None:
        if inputs:
            raise UsageError("a chain starts from text or from a release", "give one of the two")
        own = Window.of(window) if window else None
        return Start(None, own, settings, began)
    sources, text, output = chain_sources(inputs, window)
    return Start(release_of(sources, output, settings.curate, settings), text, settings, began)


@dataclass(frozen=True)
class Chain:
    """A chain under way."""

    folder: Path
    run: str
    """Its parent run in MLflow."""
    window: Window | None
    seconds: float
    """How long its curation took."""


@contextmanager
def chain_of(release: Release, start: Start) -> Iterator[Chain]:
    """Open the chain on a release: its run folder and its parent run, which an error ends."""
    settings = start.settings
    policy = policy_of(settings.gate, "default").model_dump()
    inputs = Inputs.deciding("chain", release.id, deciding(settings), policy, code=_CODE)
    tags = {"release_id": release.id, "folder": relative(inputs.folder)}
    run = open_chain("chain", inputs.id, tags, start.began)
    with chain_run(run):
        yield Chain(inputs.folder, run, start.window, (milliseconds() - start.began) / 1000)


def window_key(window: Window) -> str:
    """Identify a window within a chain: by its content, and where it lies."""
    files, _ = survey_all(list_inputs(window.sources()))
    return digest([[f.source, f.bytes, f.sha256] for f in files])[:12]


class Glance(Artifact):
    """A chain's figures, once its parent run in MLflow has them."""

    figures: dict[str, JsonValue]


def finish(chain: Chain, made: Lifecycle) -> Lifecycle:
    """Write the chain's report and end its parent run."""
    made = write_report(made, chain.folder)
    # Once without the round and once with it: a person may promote the first model in between.
    glance = "glance"
    if made.again and chain.window:
        glance += f"-{window_key(chain.window)}-{made.again.champion}"
    inputs = Inputs(chain.folder, f"{glance}-{chain.run}.json")

    def make(_: Path) -> Glance:
        return Glance.model_validate({"figures": record_chain(chain.run, made)})

    produce(Glance, inputs, make)
    return made


def record_chain(run: str, made: Lifecycle) -> dict[str, JsonValue]:
    """Log the figures, decision and page of a chain on its parent run; return the figures."""
    totals, again = made.release.totals, made.again
    figures: dict[str, JsonValue] = {
        "read": totals.read,
        "kept": totals.kept,
        "rejected": dict(totals.rejected),
        "unreadable": totals.unreadable,
        "total_parameters": made.pretraining.total_parameters,
        "active_parameters": made.pretraining.active_parameters,
        "bits_per_byte": {k: e.bits.value for k, e in made.quality.evaluations().items()},
        "gain": {stage: gain.gain for stage, gain in made.gains.items()},
    }
    store = tracking()
    store.log_values(run, figures)
    store.log_file(run, Path(made.report))
    champion = again.champion if again else made.first.champion
    second = again.gated.verdict if again and again.gated else None
    close_chain(run, made.first.verdict, champion, round_decision=second)
    return figures


class RoundStart(Artifact):
    """The champion that a chain's round on a window starts from."""

    version: str


class RoundAnswer(Artifact):
    """What a chain's round on a window came to."""

    answer: dict[str, JsonValue]
    """Answer of `headrace retrain`."""


def round_once(
    folder: Path, key: str, champion: str, make: Callable[[str], Retrained]
) -> Retrained:
    """Run the chain's round on a window, once.

    It starts from the champion of its first try, also when a kill came after the promotion. One
    that another champion overtook is not kept: the next try starts from that one.

    Args:
        folder: the chain's run folder.
        key: the window (`window_key`).
        champion: the version that is champion now.
        make: the round from a version.
    """
    start, kept = (Inputs(folder, f"{name}-{key}.json") for name in ("start", "round"))
    version = produce(RoundStart, start, lambda _: RoundStart(version=champion)).version
    if found := find(RoundAnswer, kept):
        return Retrained.of_json(found.answer)
    made = make(version)
    if made.gated and made.gated.overtaken:
        (folder / f"start-{key}.json").unlink()
    else:
        produce(RoundAnswer, kept, lambda _: RoundAnswer(answer=made.as_json()))
    return made


def round_settings(settings: RunConfig) -> RetrainConfig:
    """Return the settings of the drift round within a run."""
    return RetrainConfig(
        spark=settings.spark,
        seed=settings.seed,
        model=settings.model,
        notify=settings.notify,
        **settings.retrain.model_dump(),
        curate=settings.curate,
        gate=settings.gate,
        monitor=settings.monitor,
    )
