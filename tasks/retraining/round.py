"""A round of retraining: where it starts, what it learns, what the gate is shown of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.infra import releases
from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import DamagedWindowError
from headrace.infra.lineage import code_version, digest
from headrace.infra.registry.versions import Version
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import run_job
from headrace.spark_jobs.settings import CurateJob
from headrace.tasks.configuration.settings import RetrainSettings, RetrainVerb, RunVerb
from headrace.tasks.corpus.curation import release_of
from headrace.tasks.gate.anchor import find_anchor
from headrace.tasks.gate.evaluation import decide, policy_of, promote, read_scores
from headrace.tasks.gate.evidence import (
    ANCHOR,
    NEW,
    OLD,
    REWARD,
    beside_anchor,
    old_documents,
    reward_sample,
    score_rewards,
)
from headrace.tasks.mlflow_log import close_chain, open_chain, registry, stage_run, tracking
from headrace.tasks.model_refs import fault_of, lineage_of, run_of
from headrace.tasks.retraining.rounds import State
from headrace.tasks.retraining.verdicts import Finding
from headrace.tasks.retraining.window import Window
from headrace.tasks.task import once, relative, run_folder, step
from headrace.training.identity import Table, deciding_result
from headrace.training.incremental.settings import EWCJob
from headrace.training.scoring.gate import Evidence

_OPERATION: Table = {
    Shared: frozenset({"spark", "notify"}),
    RetrainSettings: frozenset({"cooldown_minutes", "budget"}),
}
"""Settings that decide when a chain or a round runs, where or how; nothing of its result."""
CARRIED = ("reward", "prompts")
"""Tags of a model version that its successors inherit."""


@step("load the champion")
def starting_point(version: str, shared: Shared) -> Version:
    """The version that a round starts from."""
    return registry(shared.model.name).version(version)


def no_drift(finding: Finding, shared: Shared) -> dict[str, Any]:
    """The answer of a round that had nothing to learn."""
    now = registry(shared.model.name).champion()
    return {**finding.as_json(), "drift": False, "champion": now.number}


def window_job(window: Window, champion: Version, settings: RetrainVerb) -> CurateJob:
    """The curation of the window into a child release of the champion's."""
    # A child lies beside its parent, so that the corpus is found from the child alone.
    output = str(Path(champion.release).parents[1])
    return release_of(window.sources(), output, settings.curate, settings, champion.release)


def check_enough(child: dict[str, Any], settings: RetrainVerb) -> None:
    """Raise if too few records survived curation.

    Raises:
        DamagedWindowError: too few records kept, or too small a share of them: a damaged window.
    """
    kept, read = child["kept"], child["read"]
    low, share = settings.minimum_records, settings.minimum_kept
    if kept >= low and kept >= share * read:
        return
    lost = {**child["rejected"], "unreadable": child["unreadable"]}
    worst = max(lost, key=lambda level: lost[level])
    why, hint = f"{lost[worst]} are rejected at {worst}", "fix the window or collect more text"
    if lost[worst] == 0:
        why, hint = "it holds no more", "collect more text"
    elif worst == "unreadable":
        why, hint = f"{lost[worst]} can't be read", "fix the files of the window"
    elif worst == "duplicate":
        why = f"{lost[worst]} of them the champion's corpus holds already"
        hint = "collect text that the champion doesn't know yet"
    raise DamagedWindowError(
        f"the window keeps {kept} of {read} records, at least {low} and {share:.0%} are needed; "
        f"{why}",
        f"see {child['release']}/report.html; {hint}",
        {k: child[k] for k in ("release_id", "read", "kept", "rejected", "unreadable")},
    )


def deciding(settings: RunVerb | RetrainVerb) -> dict[str, Any]:
    """The settings that decide what comes out of a chain or a round, not when it runs, or how."""
    return deciding_result(settings, _OPERATION)


def begin_round(
    champion: Version,
    child: dict[str, Any],
    finding: Finding | None,
    settings: RetrainVerb,
    began: int | None = None,
) -> str:
    """The parent run in MLflow of a round that belongs to no chain.

    `began`: when its drift test did (ms since 1970), None: now.
    """
    identity = [
        run_of(champion.export),
        child["release_id"],
        deciding(settings),
        policy_of(settings.gate, "default").model_dump(),
        code_version("training"),
    ]
    tags = {
        "release_id": child["release_id"],
        "parent_version": champion.number,
        "drift_report": relative(finding.report) if finding and finding.report else None,
    }
    return open_chain("retrain", identity, tags, began)


def end_round(run: str, answer: dict[str, Any]) -> None:
    """What a round came to, on its parent run: once, so that it ends when it was done."""

    def end() -> dict[str, Any]:
        store = tracking()
        store.log_values(run, {"bits_per_byte": answer["metrics"]})
        store.log_file(run, Path(answer["gate"]["report"]))
        close_chain(run, answer["decision"], answer["champion"], version=answer["version"])
        return {"run_id": run}

    once(Path(answer["folder"]), f"ended-{run}-{answer['champion']}.json", end)


@step("learn the window")
def learn_window(
    champion: Version, child: dict[str, Any], settings: RetrainVerb, parent: str | None
) -> dict[str, Any]:
    """Elastic weight consolidation from the champion's export; the answer of the job."""
    from headrace.training.incremental.ewc import identity

    corpus = releases.lineage(child["release"])
    carried = {k: champion.tags[k] for k in CARRIED if k in champion.tags}
    lineage = {
        **lineage_of(champion.export),
        **carried,
        "release_id": child["release_id"],
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
    folder = run_folder("ewc", [identity(job), code_version("training")])
    job = job.model_copy(update={"output": str(folder)})
    with stage_run(
        "ewc",
        job.output,
        job.settings.model_dump(),
        {"release_id": child["release_id"]},
        parent,
        variant=digest([deciding_result(job.settings), job.compare_plain]),
    ) as record:
        answer = run_job("headrace.training.incremental.ewc", job, Path(job.output))
        return {
            **answer,
            "folder": job.output,
            "run_id": record(answer),
            "tags": carried,
        }


def _training_prompts(heldout: str | None) -> str | None:
    """The prompts beside those that judge: the champion's answers to them are replayed."""
    if heldout is None:
        return None
    path = home().resolve(heldout).with_name("train.jsonl")
    return str(path) if path.exists() else None


def decide_round(
    champion: Version,
    child: dict[str, Any],
    trained: dict[str, Any],
    settings: RetrainVerb,
) -> dict[str, Any]:
    """The gate on new text, old text (against the champion and the anchor) and rewards."""
    scored = trained["evaluation"]
    policy = policy_of(settings.gate, "default")
    data = {"new": child["release_id"], "old": Path(champion.release).name}
    fault = fault_of(trained["export"])
    sides = []
    for name, when, export in (
        (f"version {champion.number}", "before", str(champion.export)),
        ("retrained", "after", trained["export"]),
    ):
        samples = {NEW: read_scores(scored["new"][when]), OLD: read_scores(scored["old"][when])}
        if policy.names(REWARD) and not fault:
            samples |= reward_sample(score_rewards(export, trained["tags"], settings.seed))
        sides.append(Evidence(name, samples, data=data))
    theirs, ours = sides
    ours = replace(ours, measures=trained.get("measures", {}), fault=fault)
    if policy.names(ANCHOR):
        documents = old_documents(releases.lineage(champion.release), settings.ewc.material.heldout)
        models, old = registry(settings.model.name), theirs.samples[OLD]
        anchor = find_anchor(theirs.name, old, documents, models, {champion.number: old})
        theirs, ours = beside_anchor(theirs, ours, anchor)
    return decide(
        theirs,
        ours,
        Path(trained["folder"]),
        settings.gate,
        "default",
        settings.seed,
        champion.number,
    )


def promote_round(
    champion: Version,
    child: dict[str, Any],
    trained: dict[str, Any],
    decision: dict[str, Any],
    settings: RetrainVerb,
    parent: str | None,
    began: int,
) -> dict[str, Any]:
    """The retrained model as a version; the champion moves where the gate says so.

    `began`: when the scoring for the gate did (ms since 1970).
    """
    tags = {**trained["tags"], "release_id": child["release_id"]}
    return promote(
        trained["export"],
        child["release"],
        decision,
        settings.gate,
        settings,
        tags,
        parent,
        began,
    )


def round_answer(
    finding: Finding | None,
    child: dict[str, Any],
    trained: dict[str, Any],
    decision: dict[str, Any],
    moved: dict[str, Any],
) -> dict[str, Any]:
    """The answer of `headrace retrain`."""
    return {
        "drift": finding.drift if finding else None,
        "verdict": finding.as_json() if finding else None,
        "release_id": child["release_id"],
        "release": child["release"],
        "window": {k: child[k] for k in ("read", "kept", "rejected", "unreadable")},
        "export": trained["export"],
        "folder": trained["folder"],
        "decision": moved["decision"],
        "reasons": moved["reasons"],
        "metrics": trained["metrics"],
        "tokens": trained["tokens"],
        "gate": decision,
        "version": moved["version"],
        "champion": moved["champion"],
        "moved": moved["moved"],
        "waiting": moved["waiting"],
        "decided_before": moved["decided_before"],
        "overtaken": moved["overtaken"],
        "run_id": moved["run_id"],
    }


def outcome(answer: dict[str, Any]) -> State:
    """What a round with this answer came to."""
    if answer["drift"] is False:
        return State.NO_DRIFT
    if answer["overtaken"]:
        return State.OVERTAKEN
    if answer["decision"] != "promote":
        return State.REFUSED
    if answer["waiting"]:
        return State.WAITING
    return State.PROMOTED if answer["moved"] else State.DECIDED
