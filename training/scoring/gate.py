"""The gate: champion against challenger on the same documents, decided by a policy.

Every metric is compared pair by pair: the difference of each document under both models, the
interval and p of their ratio of sums (`interval.ratio`), and a verdict (better, not worse, worse,
unknown) against the rule's margin. The decision is reject where anything is surely or measurably
wrong, inconclusive where something can't be said, promote where every rule and guard holds. Nothing
is written here; the caller stores the decision and moves no alias unless it says promote.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.infra.artifacts import Compared, Decision, GuardResult
from headrace.infra.errors import UsageError
from headrace.infra.json_types import Json
from headrace.training.data.columns import strings
from headrace.training.scoring import interval
from headrace.training.scoring.interval import Floats, Interval
from headrace.training.scoring.policy import SLICES, Guard, Policy, Rule

SHOWN = 0.8
"""Share of evaluations that would show a difference of the size that is given as `power`."""


def bits(nats: Floats) -> Floats:
    """Nats as bits."""
    return nats / math.log(2)


@dataclass(frozen=True)
class Sample:
    """Values of a metric, a row per document or prompt; it is sum(values) / sum(weights)."""

    ids: tuple[str, ...]
    """What each row is about: the two models' rows must be the same."""
    values: Floats
    """(N,) bits, or rewards."""
    weights: Floats
    """(N,) bytes, or ones; the same for both models."""
    slices: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    """Column: a value per row."""

    @classmethod
    def of_text(cls, documents: pa.Table) -> Sample:
        """Bits per byte, from a table with id, lang, domain, nats and bytes (`evaluate`)."""
        return cls(
            tuple(strings(documents, "id")),
            bits(documents["nats"].to_numpy()),
            documents["bytes"].to_numpy().astype(np.float64),
            {c: tuple(documents[c].to_pylist()) for c in SLICES},
        )

    @classmethod
    def of_scores(cls, prompts: Sequence[str], scores: npt.ArrayLike) -> Sample:
        """Return a mean over prompts, such as of rewards.

        Args:
            prompts: N of them.
            scores: (N,), or (N, S) for S answers to each prompt. The answers to one prompt aren't
                independent, so their mean is one row.
        """
        values = np.asarray(scores, dtype=np.float64).reshape(len(prompts), -1).mean(axis=1)
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
    against: Mapping[str, str] = field(default_factory=dict)
    """Metric: whose values these are where they are another model's, for a rule that compares with
    more than the champion."""
    notes: tuple[str, ...] = ()
    """What a reader of the decision has to know about this evidence."""
    fault: str = ""
    """Why the model can't be used at all, whatever its figures say; empty for a sound one."""


def _verdict(rule: Rule, found: Interval) -> str:
    """Return the verdict on an improvement (positive is better) with its interval."""
    gain, low, high = found.value, found.low, found.high
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


@dataclass(frozen=True)
class _Compared:
    """A metric on some documents: its entry in decision.json, and the interval behind it."""

    entry: Compared
    found: Interval | None
    """Of the improvement (positive is better); None where there is nothing to compare."""

    def with_(self, **fields: Json) -> _Compared:
        """Return the comparison with other fields of its entry."""
        return replace(self, entry=self.entry.model_copy(update=fields))

    def p_loss(self, margin: float) -> float:
        """One-sided p of "the true loss is at most `margin`"."""
        return 1.0 if self.found is None else self.found.p_below(-margin)


def _compare(
    rule: Rule, champion: Sample, challenger: Sample, policy: Policy, seed: int
) -> dict[str, _Compared]:
    """Compare the metric on all documents, keyed by an empty name, and on the rule's slices."""
    if champion.ids != challenger.ids or not np.array_equal(champion.weights, challenger.weights):
        raise UsageError(
            f"{rule.name}: champion and challenger were not scored on the same documents",
            "score both on the same sample with the same settings",
        )
    # A seed for each metric, so that adding a rule to a policy doesn't change the others.
    seed = seed ^ zlib.crc32(rule.name.encode())
    groups = {"": np.ones(len(champion.values), bool)}
    for name in rule.slices:
        values = np.array(challenger.slices.get(name, (None,) * len(champion.ids)), dtype=object)
        for value in sorted({v for v in values if v is not None}):
            groups[f"{name}={value}"] = values == value
    weights = champion.weights
    return {
        name: _entry(
            rule, champion.values[mask], challenger.values[mask], weights[mask], policy, seed
        )
        for name, mask in groups.items()
    }


def _entry(
    rule: Rule, old: Floats, new: Floats, weights: Floats, policy: Policy, seed: int
) -> _Compared:
    """One comparison; `difference` is challenger - champion."""
    entry = Compared(
        champion=None,
        challenger=None,
        difference=None,
        interval=None,
        se=None,
        p=None,
        margin=rule.margin,
        verdict="unknown",
        n=len(weights),
        power=None,
        direction=rule.direction,
        require=rule.require,
    )
    part = _Compared(entry, None)
    total = float(weights.sum())
    if total <= 0:
        return part.with_(note="no documents")
    if not np.isfinite(old).all():
        return part.with_(note="the champion has scores that are not finite")
    if not np.isfinite(new).all():
        return part.with_(verdict="worse", note="the challenger's scores are not finite")
    sign = -1.0 if rule.direction == "lower" else 1.0
    found = interval.ratio(
        sign * (new - old),
        weights,
        confidence=policy.confidence,
        flips=policy.resamples,
        seed=seed,
    )
    bound = rule.margin if rule.require == "better" else -rule.margin
    part = replace(part, found=found).with_(
        champion=float(old.sum() / total),
        challenger=float(new.sum() / total),
        difference=sign * found.value,
        se=found.se if math.isfinite(found.se) else None,
        p=found.p_above(bound),
    )
    if found.bounded:
        ends = (found.low, found.high) if sign > 0 else (-found.high, -found.low)
        rise, fall = interval.detectable(
            sign * (new - old), weights, confidence=policy.confidence, share=SHOWN, seed=seed
        )
        part = part.with_(interval=ends, power=rise if rule.require == "better" else fall)
    if found.n < rule.min_documents:
        return part.with_(note=f"fewer than {rule.min_documents} documents")
    if not found.bounded:
        note = f"too few documents for an interval of {policy.confidence:.4g}"
        part = part.with_(note=note)
    return part.with_(verdict=_verdict(rule, found))


def _guard(guard: Guard, measures: Mapping[str, float]) -> GuardResult:
    """One guard as in decision.json; `ok` is null where its figure is missing."""
    value = measures.get(guard.name)
    result = GuardResult(value=value, low=guard.low, high=guard.high, label=guard.label, ok=None)
    if value is None:
        return result.model_copy(update={"note": "not measured"})
    if not math.isfinite(value):
        return result.model_copy(update={"value": None, "ok": False, "note": "not finite"})
    inside = (guard.low is None or value >= guard.low) and (
        guard.high is None or value <= guard.high
    )
    return result.model_copy(update={"ok": inside})


def _slice_entries(
    rules: Mapping[str, Rule], slices: Mapping[str, Mapping[str, _Compared]]
) -> dict[str, dict[str, Compared]]:
    """Return the entries of slices, with `p_loss` of those that can reject.

    There are many slices, and one of many looks bad by chance: their p-values are adjusted for all
    slices of the policy that can reject (Holm).
    """
    tested = {
        (metric, name): part.p_loss(margin)
        for metric, parts in slices.items()
        for name, part in parts.items()
        if (margin := rules[metric].slice_margin) is not None
        and part.found is not None
        and part.found.n >= rules[metric].min_documents
    }
    adjusted = dict(zip(tested, interval.holm(list(tested.values())), strict=True))
    return {
        metric: {
            name: part.with_(p_loss=adjusted[metric, name]).entry
            if (metric, name) in adjusted
            else part.entry
            for name, part in parts.items()
        }
        for metric, parts in slices.items()
    }


def _worse_slices(
    rules: Mapping[str, Rule], slices: Mapping[str, Mapping[str, Compared]], policy: Policy
) -> list[str]:
    """Return the slices that lose more than their rule allows a slice, in words."""
    judged = [
        (f"{rules[metric].label or metric}, {name}", entry)
        for metric, entries in slices.items()
        for name, entry in entries.items()
        if rules[metric].slice_margin is not None
    ]
    level = (1 - policy.confidence) / 2
    lost = [f"{name}: worse" for name, e in judged if e.p_loss is not None and e.p_loss <= level]
    # Scores that aren't finite have no p-value.
    return lost + [
        f"{name}: worse{_note(entry)}"
        for name, entry in judged
        if entry.difference is None and entry.verdict == "worse"
    ]


def decide(champion: Evidence, challenger: Evidence, policy: Policy, seed: int) -> Decision:
    """Return the decision with all its evidence: the content of decision.json.

    `difference` is challenger - champion, so for bits per byte negative is better. `power` is the
    smallest true difference (improvement where the rule wants one, else loss) that the interval of
    four such evaluations in five would have distinguished from none; None where there is no
    interval.

    Args:
        champion: the model in service, or the best baseline before there is one.
        challenger: the model that wants its place.
        policy: the rules.
        seed: seed of the sign flips; the same evidence and seed give the same decision.

    Raises:
        UsageError: the two were scored on different documents.
    """
    metrics: dict[str, Compared] = {}
    compared: dict[str, dict[str, _Compared]] = {}
    wrong = [f"the challenger: {challenger.fault}"] if challenger.fault else []
    unsure = [f"the champion: {champion.fault}"] if champion.fault else []
    notes = [*champion.notes, *challenger.notes]
    for rule in policy.metrics:
        label = rule.label or rule.name
        old, new = champion.samples.get(rule.name), challenger.samples.get(rule.name)
        if old is None or new is None:
            (notes if rule.optional else unsure).append(f"{label}: not measured")
            continue
        parts = _compare(rule, old, new, policy, seed)
        whole = parts.pop("").with_(
            label=label,
            unit=rule.unit,
            judge=rule.judge,
            against=champion.against.get(rule.name, champion.name),
        )
        metrics[rule.name] = entry = whole.entry
        if parts:
            compared[rule.name] = parts
        if entry.verdict == "worse":
            wrong.append(f"{label}: worse{_note(entry)}")
        elif entry.verdict == "unknown":
            unsure.append(_unknown(rule, entry))
    rules = {rule.name: rule for rule in policy.metrics}
    slices = _slice_entries(rules, compared)
    wrong += _worse_slices(rules, slices, policy)
    guards = {g.name: _guard(g, challenger.measures) for g in policy.guards}
    for guard in policy.guards:
        label, ok = guard.label or guard.name, guards[guard.name].ok
        if ok is None:
            (notes if guard.optional else unsure).append(f"{label}: not measured")
        elif not ok:
            wrong.append(f"{label}: out of bounds")
    return Decision(
        decision="reject" if wrong else "inconclusive" if unsure else "promote",
        policy=policy.name,
        champion=champion.name,
        challenger=challenger.name,
        metrics=metrics,
        slices=slices,
        power={name: entry.power for name, entry in metrics.items()},
        guards=guards,
        reasons=(*wrong, *unsure) or ("every rule and guard holds",),
        notes=tuple(notes),
        confidence=policy.confidence,
        resamples=policy.resamples,
        seed=seed,
        data=dict(challenger.data),
    )


def _note(entry: Compared) -> str:
    return f" ({entry.note})" if entry.note else ""


def _unknown(rule: Rule, entry: Compared) -> str:
    """Return why a metric has no verdict, and what this evaluation could have shown."""
    label = rule.label or rule.name
    if entry.note:
        return f"{label}: can't be told{_note(entry)}"
    asked = (
        f"from an improvement of {rule.margin:g}"
        if rule.require == "better" and rule.margin
        else "from no change"
        if rule.require == "better"
        else f"from a loss of more than {rule.margin:g}"
    )
    unit = f" {rule.unit}" if rule.unit else ""
    least = f"the smallest difference that could have been shown is {entry.power:.2g}{unit}"
    return f"{label}: can't be told {asked}; {least}"
