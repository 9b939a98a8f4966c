"""The gate's decision on a challenger, and what follows from it in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from headrace.infra import storage
from headrace.infra.artifacts import Decision, Inputs, Record, Verdict, produce
from headrace.infra.errors import NotPromotedError
from headrace.infra.json_types import Json
from headrace.infra.lineage import digest
from headrace.infra.registry.rules import GATE, NO_VERSION
from headrace.tasks import audit_records
from headrace.tasks.configuration.settings import GateSettings
from headrace.tasks.gate.comparison import Comparison
from headrace.tasks.mlflow_log import log_plots, record_stage, registry, tracking
from headrace.tasks.task import step
from headrace.training.scoring import gate, gate_report
from headrace.training.scoring.gate import Evidence
from headrace.training.scoring.policy import Policy, read_policy


@dataclass(frozen=True)
class Candidate:
    """A challenger that is to be a version of the registered model."""

    export: str
    release: str
    """Folder of the release whose text, with its ancestors', is its corpus."""
    tags: Mapping[str, str]
    """What a later gate has to know of it: the reward model and the prompts."""


class _Page(Record):
    report: str


class _Answer(Record):
    """What `Gated.as_json` says, as far as it is read again."""

    decision: Verdict
    reasons: tuple[str, ...]
    run_id: str
    version: str | None
    champion: str | None
    waiting: bool
    decided_before: bool
    overtaken: bool
    gate: _Page


@dataclass(frozen=True)
class Gated:
    """What came of a challenger at the gate."""

    decision: Decision
    """As it is stored."""
    verdict: Verdict
    """The decision, or inconclusive where the champion has changed since the comparison."""
    reasons: tuple[str, ...]
    run_id: str
    version: str | None = None
    """The challenger's version; None: it was only compared."""
    champion: str | None = None
    """The version that is champion now."""
    waiting: bool = False
    """Whether the decision is left to a person."""
    decided_before: bool = False
    """Whether the verdict isn't carried out because a person has decided on the version before."""
    overtaken: bool = False
    """Whether another champion came in after the comparison."""

    @property
    def moved(self) -> bool:
        """Whether the challenger is the champion now."""
        return self.version is not None and self.champion == self.version

    @property
    def promoted(self) -> bool:
        """Whether the verdict is to promote it."""
        return self.verdict == "promote"

    @classmethod
    def of_json(cls, answer: Mapping[str, JsonValue]) -> Gated:
        """Return the inverse of `as_json`."""
        kept = _Answer.model_validate(answer)
        page = Path(kept.gate.report)
        record = f"decision{page.stem.removeprefix('gate')}.json"
        return cls(
            decision=Decision.load(page.parent, record),
            verdict=kept.decision,
            reasons=kept.reasons,
            run_id=kept.run_id,
            version=kept.version,
            champion=kept.champion,
            waiting=kept.waiting,
            decided_before=kept.decided_before,
            overtaken=kept.overtaken,
        )

    def as_json(self) -> dict[str, JsonValue]:
        """Return what the verbs that gate a model say of it."""
        return {
            "version": self.version,
            "champion": self.champion,
            "moved": self.moved,
            "waiting": self.waiting,
            "decided_before": self.decided_before,
            "overtaken": self.overtaken,
            "decision": self.verdict,
            "reasons": list(self.reasons),
            "run_id": self.run_id,
            "gate": decision_answer(self.decision),
        }


def decision_answer(decision: Decision) -> dict[str, JsonValue]:
    """Return a decision with the path of its page."""
    return {**decision.as_json(), "report": decision.report}


def policy_of(settings: GateSettings, default: str) -> Policy:
    """Return the policy that the settings name, or a shipped one.

    Raises:
        UsageError: there is no such policy, or it breaks its schema.
    """
    return read_policy(settings.policy or default)


@step("decide")
def decide(
    champion: Evidence,
    challenger: Evidence,
    folder: Path,
    settings: GateSettings,
    default_policy: str,
    seed: int,
    compared_with: str | None = None,
) -> Decision:
    """Decide by the policy, and store the decision in the challenger's run folder.

    A custom policy's decisions are keyed by its content, so editing it produces a new decision and
    the old one stays; the same holds for another rival.

    Args:
        champion: evidence on the model in service, or on a baseline.
        challenger: evidence on the model that wants its place.
        folder: where the decision is stored.
        settings: name the policy.
        default_policy: name of the policy, unless they do.
        seed: seed of the intervals.
        compared_with: the champion's version; None: there is none.
    """
    policy = policy_of(settings, default_policy)
    audit_records.thresholds_used(f"gate policy {policy.name}", policy.model_dump(mode="json"))
    key = "" if settings.policy is None else f"-{digest(policy.model_dump())[:8]}"
    record = _record(folder, key, compared_with)

    def make(_: Path) -> Decision:
        decision = gate.decide(champion, challenger, policy, seed).at(str(folder), record)
        storage.write_bytes(decision.report, gate_report.render(decision).encode())
        return decision.model_copy(update={"compared_with": compared_with})

    return produce(Decision, Inputs(folder, record), make)


def _record(folder: Path, key: str, compared_with: str | None) -> str:
    """File of the decision against this rival.

    The first has the plain name of the contract; one against a later champion names that one.
    """
    record = f"decision{key}.json"
    path = folder / record
    if not path.exists() or storage.read_json(path)["compared_with"] == compared_with:
        return record
    return f"decision{key}-against-{compared_with or NO_VERSION}.json"


@step("record the comparison")
def record_comparison(comparison: Comparison, decision: Decision) -> Gated:
    """Record a comparison that moves nothing as its run in MLflow."""
    tags: dict[str, str | None] = {"gate_decision": decision.decision}
    run = _recorded(decision, tags, None, comparison.began)
    return Gated(decision, decision.decision, decision.reasons, run)


@step("register and promote")
def promote(
    candidate: Candidate,
    decision: Decision,
    settings: GateSettings,
    model: str,
    parent: str | None = None,
    began: int | None = None,
) -> Gated:
    """Register the challenger; the alias moves where the gate says promote.

    Args:
        candidate: the challenger.
        decision: the gate's.
        settings: say whether the champion moves at once or a person decides.
        model: name of the registered model.
        parent: run of the chain.
        began: when the scoring for the gate did (ms since 1970); None: now.
    """
    models = registry(model)
    expected = decision.compared_with
    tags = {
        **candidate.tags, "gate_decision": decision.decision, "parent_version": expected
    }  # fmt: skip
    run = _recorded(decision, tags, parent, began)
    version = models.register(run, Path(candidate.export), candidate.release, tags)
    waiting, overtaken = False, None
    if decision.decision == "promote":
        why = f"policy {decision.policy}: {'; '.join(decision.reasons)}"
        try:
            if settings.promote == "auto":
                models.move_champion(
                    version, expected, GATE, why, run_id=run, decision=decision.decision
                )
            else:
                waiting = models.mark_waiting(version, expected, run)
        except NotPromotedError as error:
            # No fault of the run's: a person decided while it was at work.
            overtaken = error.message
    now = models.current()
    champion = now.number if now else None
    return Gated(
        decision=decision,
        verdict="inconclusive" if overtaken else decision.decision,
        reasons=(overtaken, *decision.reasons) if overtaken else decision.reasons,
        run_id=run,
        version=version,
        champion=champion,
        waiting=waiting,
        decided_before=decision.decision == "promote"
        and champion != version
        and models.decided_by_person(version, expected, run),
        overtaken=overtaken is not None,
    )


def _recorded(
    decision: Decision, tags: Mapping[str, str | None], parent: str | None, began: int | None
) -> str:
    """Record the decision in MLflow: figures, the decision itself, its page and its plots."""
    run = record_stage(
        GATE,
        decision.folder,
        _figures(decision),
        {"policy": decision.policy},
        dict(tags),
        parent,
        variant=Path(decision.report).stem,
        began=began,
    )
    store = tracking()
    for file in (decision.path, decision.report):
        store.log_file(run, Path(file))
    log_plots(run, gate_report.drawings(decision))
    return run


def _figures(decision: Decision) -> dict[str, Json]:
    return {
        name: {
            "champion": m.champion,
            "challenger": m.challenger,
            "difference": m.difference,
            "se": m.se,
            "p": m.p,
            "margin": m.margin,
            "power": m.power,
        }
        for name, m in decision.metrics.items()
    }
