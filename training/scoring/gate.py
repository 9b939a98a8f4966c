"""The gate: champion against challenger on the same documents, decided by a policy.

Every metric is compared pair by pair: the same bootstrap samples of documents for both models, the
interval and p of the difference, and a verdict (better, not worse, worse, unknown) against the
rule's margin. The decision is reject where anything is surely or measurably wrong, inconclusive
where something can't be said, promote where every rule and guard holds. Nothing is written here;
the caller stores the decision and moves no alias unless it says promote.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra.errors import UsageError
from headrace.training.scoring import bootstrap
from headrace.training.scoring.bootstrap import Floats
from headrace.training.scoring.policy import Guard, Policy, Rule


@dataclass(frozen=True)
class Sample:
    """Values of a metric, a row a document or prompt; the metric is sum(values) / sum(weights)."""

    ids: tuple[str, ...]
    """What each row is about: the two models' rows must be the same."""
    values: Floats
    """(N,) bits, or rewards."""
    weights: Floats
    """(N,) bytes, or ones."""
    slices: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    """Column: value a row."""

    @classmethod
    def of_text(cls, documents: pa.Table) -> Sample:
        """Bits a byte, from a table with id, lang, domain, nats and bytes (`evaluate`)."""
        return cls(
            tuple(documents["id"].to_pylist()),
            documents["nats"].to_numpy() / math.log(2),
            documents["bytes"].to_numpy().astype(np.float64),
            {c: tuple(documents[c].to_pylist()) for c in ("lang", "domain")},
        )

    @classmethod
    def of_scores(cls, prompts: list[str], scores: npt.ArrayLike) -> Sample:
        """A mean of one score a prompt, such as a reward."""
        values = np.asarray(scores, dtype=np.float64)
        return cls(tuple(prompts), values, np.ones_like(values))


@dataclass(frozen=True)
class Evidence:
    """What is known of one model."""

    name: str
    """Which one: a model version, an export, a baseline."""
    samples: Mapping[str, Sample]
    """Metric: its values."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Figures for guards."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Where the documents come from: {`old`: release id, …}."""


def _verdict(rule: Rule, gain: float, low: float, high: float) -> str:
    """The verdict on an improvement (positive is better) with its interval."""
    if rule.require == "better":
        shown = low if rule.judge == "interval" else gain
        if shown > rule.margin:
            return "better"
        return "worse" if high < 0 or (rule.judge == "estimate" and gain < 0) else "unknown"
    if rule.judge == "estimate":
        if gain < -rule.margin:
            return "worse"
        return "better" if low > 0 else "not worse"
    if high < -rule.margin:
        return "worse"
    if low < -rule.margin:
        return "unknown"
    return "better" if low > 0 else "not worse"


def _compare(rule: Rule, champion: Sample, challenger: Sample, policy: Policy, seed: int) -> Any:
    """(entry of the metric, entries of its slices) as in decision.json."""
    if champion.ids != challenger.ids:
        raise UsageError(
            f"{rule.name}: champion and challenger were not scored on the same documents",
            "score both on the same sample with the same settings",
        )
    columns = np.stack(
        [champion.values, champion.weights, challenger.values, challenger.weights], 1
    )
    # A seed a metric, so that adding a rule to a policy doesn't change the others' intervals.
    seed = seed ^ zlib.crc32(rule.name.encode())
    groups = {"": np.ones(len(columns), bool)}
    for name in rule.slices:
        values = np.array(challenger.slices.get(name, (None,) * len(columns)), dtype=object)
        for value in sorted({v for v in values if v is not None}):
            groups[f"{name}={value}"] = values == value
    # Slices are summed over the whole set's samples: all figures share the same resamples.
    masked = np.concatenate([columns * mask[:, None] for mask in groups.values()], 1)
    drawn = bootstrap.sums(masked, policy.resamples, seed) if len(columns) else masked
    entries = {}
    for i, (name, mask) in enumerate(groups.items()):
        entries[name] = _entry(rule, columns[mask], drawn[:, 4 * i : 4 * i + 4], policy)
    return entries.pop(""), entries


def _entry(rule: Rule, columns: Floats, drawn: Floats, policy: Policy) -> dict[str, Any]:
    """One comparison as in decision.json; `difference` is challenger - champion."""
    entry: dict[str, Any] = {
        "champion": None,
        "challenger": None,
        "difference": None,
        "interval": None,
        "p": None,
        "margin": rule.margin,
        "verdict": "unknown",
        "n": len(columns),
        "direction": rule.direction,
        "require": rule.require,
    }
    if len(columns) == 0 or columns[:, 1].sum() <= 0 or columns[:, 3].sum() <= 0:
        return entry | {"note": "no documents"}
    if not np.isfinite(columns[:, :2]).all():
        return entry | {"note": "the champion has scores that are not finite"}
    if not np.isfinite(columns[:, 2:]).all():
        return entry | {"verdict": "worse", "note": "the challenger's scores are not finite"}
    total = columns.sum(0)
    old, new = total[0] / total[1], total[2] / total[3]
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = drawn[:, 2] / drawn[:, 3] - drawn[:, 0] / drawn[:, 1]
    sign = -1.0 if rule.direction == "lower" else 1.0
    low, high = bootstrap.interval(difference, policy.confidence)
    gains = sorted((sign * low, sign * high))
    bound = rule.margin if rule.require == "better" else -rule.margin
    entry |= {
        "champion": float(old),
        "challenger": float(new),
        "difference": float(new - old),
        "interval": [low, high],
        "p": bootstrap.p_value(sign * difference, bound),
    }
    if len(columns) < rule.min_documents:
        return entry | {"note": f"fewer than {rule.min_documents} documents"}
    return entry | {"verdict": _verdict(rule, float(sign * (new - old)), *gains)}


def _guard(guard: Guard, measures: Mapping[str, float]) -> dict[str, Any]:
    """One guard as in decision.json; `ok` is null where its figure is missing."""
    value = measures.get(guard.name)
    entry = {"value": value, "low": guard.low, "high": guard.high, "label": guard.label}
    if value is None:
        return entry | {"ok": None, "note": "not measured"}
    if not math.isfinite(value):
        return entry | {"value": None, "ok": False, "note": "not finite"}
    inside = (guard.low is None or value >= guard.low) and (
        guard.high is None or value <= guard.high
    )
    return entry | {"ok": inside}


def _surely_worse(rule: Rule, entry: Mapping[str, Any]) -> bool:
    """Whether a slice's whole interval lies beyond the loss that the rule allows a slice."""
    if rule.slice_margin is None or entry["interval"] is None:
        return False
    if entry["n"] < rule.min_documents:
        return False
    low, high = entry["interval"]
    return bool(low > rule.slice_margin if rule.direction == "lower" else -high > rule.slice_margin)


def decide(champion: Evidence, challenger: Evidence, policy: Policy, seed: int) -> dict[str, Any]:
    """The decision with all its evidence: the content of decision.json.

    Keys: `decision` (promote, reject, inconclusive), `policy`, `metrics` {name: {champion,
    challenger, difference, interval, p, margin, verdict, n, …}}, `slices` {name: {`lang=zh`: the
    same}}, `guards`, `reasons` (why, in words), `seed`, `data`, `champion` and `challenger` (whose
    evidence). `difference` is challenger - champion, so for bits a byte negative is better.

    Args:
        champion: the model in service, or the best baseline before there is one.
        challenger: the model that wants its place.
        policy: the rules.
        seed: seed of the bootstrap; the same evidence and seed give the same decision.

    Raises:
        UsageError: the two were scored on different documents.
    """
    metrics: dict[str, Any] = {}
    slices: dict[str, Any] = {}
    wrong: list[str] = []
    unsure: list[str] = []
    notes: list[str] = []
    for rule in policy.metrics:
        label = rule.label or rule.name
        old, new = champion.samples.get(rule.name), challenger.samples.get(rule.name)
        if old is None or new is None:
            (notes if rule.optional else unsure).append(f"{label}: not measured")
            continue
        entry, parts = _compare(rule, old, new, policy, seed)
        metrics[rule.name] = entry | {"label": label, "unit": rule.unit, "judge": rule.judge}
        if parts:
            slices[rule.name] = parts
        note = f" ({entry['note']})" if "note" in entry else ""
        if entry["verdict"] == "worse":
            wrong.append(f"{label}: worse{note}")
        elif entry["verdict"] == "unknown":
            unsure.append(f"{label}: can't be told from no change{note}")
        wrong += [f"{label}, {k}: worse" for k, v in parts.items() if _surely_worse(rule, v)]
    guards = {g.name: _guard(g, challenger.measures) for g in policy.guards}
    for guard in policy.guards:
        label, ok = guard.label or guard.name, guards[guard.name]["ok"]
        if ok is None:
            (notes if guard.optional else unsure).append(f"{label}: not measured")
        elif not ok:
            wrong.append(f"{label}: out of bounds")
    decision = "reject" if wrong else "inconclusive" if unsure else "promote"
    return {
        "decision": decision,
        "policy": policy.name,
        "champion": champion.name,
        "challenger": challenger.name,
        "metrics": metrics,
        "slices": slices,
        "guards": guards,
        "reasons": [*wrong, *unsure] or ["every rule and guard holds"],
        "notes": notes,
        "confidence": policy.confidence,
        "resamples": policy.resamples,
        "seed": seed,
        "data": dict(challenger.data),
    }
