"""Challenger against champion -> promote or reject."""

from __future__ import annotations

from typing import Any

from prefect import flow

from headrace.infra.configuration.settings import Shared
from headrace.infra.tracking.runs import milliseconds
from headrace.tasks.configuration.settings import GateSettings, GateVerb
from headrace.tasks.gate.evaluation import decide, promote, score_baselines, score_heldout
from headrace.tasks.gate.evidence import beside_base, compare_exports, evidence_of_text, rival_of
from headrace.tasks.model_refs import fault_of


@flow(name="gate-first", flow_run_name="gate-first")
def gate_first(
    aligned: dict[str, Any],
    base: dict[str, Any],
    tokens: dict[str, Any],
    corpus: list[str],
    settings: GateSettings,
    shared: Shared,
    chain: str | None = None,
) -> dict[str, Any]:
    """The first model ever against the n-gram baselines, a later one against the champion.

    Either is also held against its own pretrained model: what alignment may cost.
    """
    began = milliseconds()
    pretrained = score_heldout(base["export"], corpus, shared)
    challenger = score_heldout(aligned["export"], corpus, shared)
    baselines = score_baselines(tokens, corpus, base["tokens"], shared)
    rival, version = rival_of(aligned, baselines, corpus, shared)
    fault = fault_of(aligned["export"])
    ours = evidence_of_text(aligned["export"], challenger, corpus, fault)
    rival, ours = beside_base(rival, ours, pretrained)
    decision = decide(rival, ours, aligned["folder"], settings, "first", shared.seed, version)
    moved = promote(
        aligned["export"], corpus[-1], decision, settings, shared, aligned["tags"], chain, began
    )
    return {
        **moved,
        "gate": decision,
        "evaluation": {"pretrained": pretrained, "aligned": challenger, **baselines},
    }


@flow(name="gate", flow_run_name="gate-{challenger}")
def compare(champion: str, challenger: str, settings: GateVerb) -> dict[str, Any]:
    """The answer of `headrace gate`: the decision with evidence; no alias is moved."""
    return compare_exports(champion, challenger, settings)
