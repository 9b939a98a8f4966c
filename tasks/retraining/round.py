"""A round of retraining: where it starts, what it learns, what the gate is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from headrace.infra import releases
from headrace.infra.artifacts import (
    Artifact,
    Change,
    Inputs,
    Lineage,
    Model,
    Record,
    Release,
    Retraining,
    produce,
    refs,
)
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import DamagedWindowError
from headrace.infra.json_types import Json
from headrace.infra.lineage import code_version, digest
from headrace.infra.registry.versions import Version
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import run_job
from headrace.spark_jobs.settings import CurateJob
from headrace.tasks.answers import Answer
from headrace.tasks.configuration.settings import RetrainConfig, RetrainSettings, RunConfig
from headrace.tasks.corpus.curation import release_of
from headrace.tasks.gate.comparison import NEW, OLD, Comparison, Side
from headrace.tasks.gate.promotion import Candidate, Gated, policy_of
from headrace.tasks.mlflow_log import close_chain, open_chain, registry, stage_run, tracking
from headrace.tasks.model_refs import fault_of, run_of
from headrace.tasks.retraining.rounds import State
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.retraining.window import Window
from headrace.tasks.task import relative, step
from headrace.training.identity import Table, deciding_result
from headrace.training.incremental.settings import EWCJob

_OPERATION: Table = {
    Shared: frozenset({"spark", "notify"}),
    RetrainSettings: frozenset({"cooldown_minutes", "budget"}),
}
"""Settings that decide when a chain or a round runs, where or how; nothing of its result."""
CARRIED = ("reward", "prompts")
"""Tags of a model version that its successors inherit."""


@step("load the champion")
def starting_point(version: str, shared: Shared) -> Version:
    """Return the version that a round starts from."""
    return registry(shared.model.name).version(version)


def no_drift(finding: Finding, shared: Shared) -> Retrained:
    """Return a round that had nothing to learn."""
    return Retrained(finding, registry(shared.model.name).champion().number)


def window_job(window: Window, champion: Version, settings: RetrainConfig) -> CurateJob:
    """Return the curation of the window into a child release of the champion's."""
    # A child lies beside its parent, so that the corpus is found from the child alone.
    output = str(Path(champion.release).parents[1])
    return release_of(window.sources(), output, settings.curate, settings, champion.release)


def check_enough(child: Release, settings: RetrainConfig) -> None:
    """Raise if too few records survived curation.

    Raises:
        DamagedWindowError: too few records kept, or too small a share of them: a damaged window.
    """
    totals = child.totals
    kept, read = totals.kept, totals.read
    low, share = settings.minimum_records, settings.minimum_kept
    if kept >= low and kept >= share * read:
        return
    lost = {**totals.rejected, "unreadable": totals.unreadable}
    worst = max(lost, key=lambda level: lost[level])
    why, hint = f"{lost[worst]} are rejected at {worst}", "fix the window or collect more text"
    if lost[worst] == 0:
        why, hint = "it holds no more", "collect more text"
    elif worst == "unreadable":
        why, hint = f"{lost[worst]} can't be read", "fix the files of the window"
    elif worst == "duplicate":
        why = f"{lost[worst]} of them are in the champion's corpus already"
        hint = "collect text that the champion doesn't know yet"
    raise DamagedWindowError(
        f"the window keeps {kept} of {read} records, at least {low} and {share:.0%} are needed; "
        f"{why}",
        f"see {child.report}; {hint}",
        {"release_id": child.id, **_counts(child)},
    )


def _counts(child: Release) -> Answer:
    """Return what became of the records of a window."""
    totals = child.totals
    return {
        "read": totals.read,
        "kept": totals.kept,
        "rejected": dict(totals.rejected),
        "unreadable": totals.unreadable,
    }


def deciding(settings: RunConfig | RetrainConfig) -> Answer:
    """Return the settings that decide the result of a chain or a round, not when or how it runs."""
    return deciding_result(settings, _OPERATION)


def begin_round(
    champion: Version,
    child: Release,
    finding: Finding | None,
    settings: RetrainConfig,
    began: int | None = None,
) -> str:
    """Return the parent run in MLflow of a round that belongs to no chain.

    `began`: when its drift test did (ms since 1970), None: now.
    """
    identity: list[Json] = [
        run_of(champion.export),
        child.id,
        deciding(settings),
        policy_of(settings.gate, "default").model_dump(),
        code_version("training"),
    ]
    tags = {
        "release_id": child.id,
        "parent_version": champion.number,
        "drift_report": relative(finding.report) if finding and finding.report else None,
    }
    return open_chain("retrain", identity, tags, began)


def end_round(run: str, folder: Path, changes: Mapping[str, Change], gated: Gated) -> None:
    """Record a round's outcome on its parent run: once, so that it ends when it was done."""

    def end(_: Path) -> Artifact:
        store = tracking()
        store.log_values(run, {"bits_per_byte": {k: c.as_json() for k, c in changes.items()}})
        store.log_file(run, Path(gated.decision.report))
        close_chain(run, gated.verdict, gated.champion, version=gated.version)
        return Artifact()

    produce(Artifact, Inputs(folder, f"ended-{run}-{gated.champion}.json"), end)


@step("learn the window")
def learn_window(
    champion: Version, child: Release, settings: RetrainConfig, parent: str | None
) -> Model:
    """Elastic weight consolidation from the champion's export."""
    from headrace.training.incremental.ewc import identity
    from headrace.training.results import EWCResult

    corpus = releases.lineage(child.folder)
    carried = _carried(champion)
    lineage = {
        **Lineage.of(champion.export).as_json(),
        **carried,
        "release_id": child.id,
        "releases": [Path(r).name for r in corpus],
        "parent_version": champion.number,
        "code_version": code_version("training"),
    }
    job = EWCJob(
        model=str(champion.export),
        new=(corpus[-1],),
        old=tuple(corpus[:-1]),
        output="",
        settings=settings.ewc,
        seed=settings.seed,
        lineage=lineage,
        prompts=_training_prompts(carried.get("prompts")),
        compare_plain=settings.compare_plain,
    )
    key = identity(job)
    folder = Inputs.deciding("ewc", key).folder
    job = job.model_copy(update={"output": str(folder)})
    variant = digest([deciding_result(job.settings), job.compare_plain])
    made_of = refs(champion.export, *corpus, job.prompts)

    def make(folder: Path) -> Model:
        answer = run_job("headrace.training.incremental.ewc", job, folder)
        scores = EWCResult.model_validate(answer).evaluation.new.before
        figures = {k: v for k, v in answer.items() if k not in ("export", "evaluation", "stage")}
        retraining = Retraining.model_validate({**figures, "judged_on": Path(scores).parent.name})
        return Model(stage="ewc", retraining=retraining)

    with stage_run(
        "ewc",
        job.output,
        job.settings.model_dump(),
        {"release_id": child.id},
        parent,
        variant=variant,
    ) as record:
        model = produce(Model, Inputs(folder, f"model-{variant[:8]}.json", made_of), make)
        assert model.retraining is not None, "it was stored with its figures"
        return model.model_copy(update={"run_id": record(model.retraining.as_json())})


def _carried(champion: Version) -> dict[str, str]:
    """Tags of a version that its successors inherit."""
    return {k: champion.tags[k] for k in CARRIED if k in champion.tags}


def _training_prompts(heldout: str | None) -> str | None:
    """Return the prompts beside those that judge: the champion's answers to them are replayed."""
    if heldout is None:
        return None
    path = home().resolve(heldout).with_name("train.jsonl")
    return str(path) if path.exists() else None


def round_comparison(
    champion: Version,
    child: Release,
    trained: Model,
    settings: RetrainConfig,
    began: int,
) -> Comparison:
    """Return the retrained model with its champion: new text, old text, the anchor and rewards.

    `began`: when the scoring for the gate did (ms since 1970).
    """
    assert trained.retraining is not None, "it was retrained"
    before, after = (
        {text: trained.scores(text, when) for text in (NEW, OLD)} for when in ("before", "after")
    )
    return Comparison(
        champion=Side(f"version {champion.number}", before, str(champion.export), champion.number),
        challenger=Side("retrained", after, trained.export, fault=fault_of(trained.export)),
        folder=trained.folder,
        default="default",
        shared=settings,
        compared_with=champion.number,
        data={NEW: child.id, OLD: Path(champion.release).name},
        corpus=tuple(releases.lineage(champion.release)),
        judge=Lineage.model_validate(_carried(champion)),
        anchored=settings.ewc.material.heldout,
        measures=trained.retraining.measures,
        began=began,
    )


def retrained_candidate(champion: Version, child: Release, trained: Model) -> Candidate:
    """Return the retrained model as the gate promotes it."""
    tags = {**_carried(champion), "release_id": child.id}
    return Candidate(trained.export, child.folder, tags)


class _NoDrift(Record):
    champion: str | None


class _Trained(Record):
    """What `Retrained.as_json` says of the retrained model, as far as it is read again."""

    verdict: Finding | None
    release: str
    folder: str
    metrics: dict[str, Change]
    tokens: int


@dataclass(frozen=True)
class Retrained:
    """What a round of retraining came to."""

    finding: Finding | None
    """The monitor's; None: the drift test was left out."""
    champion: str | None
    """The version that is champion now."""
    child: Release | None = None
    """Release of the window; None: there was no drift, and nothing was trained."""
    trained: Model | None = None
    gated: Gated | None = None

    @property
    def changes(self) -> dict[str, Change]:
        """Bits per byte before and after, by kind of text."""
        model = self.trained
        return model.retraining.metrics if model and model.retraining else {}

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        model = self.trained
        return model.retraining.tokens if model and model.retraining else 0

    @property
    def outcome(self) -> State:
        """The state of a round that came to this."""
        gated = self.gated
        if gated is None:
            return State.NO_DRIFT
        if gated.overtaken:
            return State.OVERTAKEN
        if not gated.promoted:
            return State.REFUSED
        if gated.waiting:
            return State.WAITING
        return State.PROMOTED if gated.moved else State.DECIDED

    @classmethod
    def of_json(cls, answer: Mapping[str, JsonValue]) -> Retrained:
        """Return the inverse of `as_json`, as far as it goes."""
        if "gate" not in answer:
            return cls(Finding.model_validate(answer), _NoDrift.model_validate(answer).champion)
        kept = _Trained.model_validate(answer)
        figures = Retraining(steps=0, tokens=kept.tokens, metrics=kept.metrics, judged_on="")
        model = Model(stage="ewc", folder=kept.folder, retraining=figures)
        child, gated = Release.load(kept.release), Gated.of_json(answer)
        return cls(kept.verdict, gated.champion, child, model, gated)

    def as_json(self) -> Answer:
        """Answer of `headrace retrain`."""
        finding = self.finding.as_json() if self.finding else None
        if self.child is None or self.trained is None or self.gated is None:
            return {**(finding or {}), "drift": False, "champion": self.champion}
        return {
            "drift": self.finding.drift if self.finding else None,
            "verdict": finding,
            "release_id": self.child.id,
            "release": self.child.folder,
            "window": _counts(self.child),
            "export": self.trained.export,
            "folder": self.trained.folder,
            "metrics": {text: change.as_json() for text, change in self.changes.items()},
            "tokens": self.tokens,
            **self.gated.as_json(),
        }
