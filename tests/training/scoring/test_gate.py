from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.infra.artifacts import Decision
from headrace.infra.errors import UsageError
from headrace.training.scoring.gate import Evidence, Sample, decide
from headrace.training.scoring.policy import Guard, Policy, Rule, read_policy

N = 60
RNG = np.random.default_rng(0)
BYTES = RNG.integers(200, 1500, N).astype(float)
HARD = RNG.normal(2.0, 0.5, N)
"""Bits per byte of each document under the champion: documents differ a lot."""


def sample(change: float = 0.0, noise: float = 0.02, n: int = N, seed: int = 1) -> Sample:
    """Bits of the first `n` documents, changed by `change` bits per byte give or take `noise`."""
    rates = HARD[:n] + change + np.random.default_rng(seed).normal(0, noise, n)
    langs = tuple(["zh", "en"] * n)[:n]
    return Sample(tuple(map(str, range(n))), rates * BYTES[:n], BYTES[:n], {"lang": langs})


def evidence(
    name: str = "m", guards: dict[str, float] | None = None, **samples: Sample
) -> Evidence:
    return Evidence(name, {k.replace("_", ".", 1): v for k, v in samples.items()}, guards or {})


DEFAULT = read_policy("default")
GOOD = {"new.order_gain": 1.0}


def default(new: float, old: float, anchor: float = 0.0, **more: Any) -> Decision:
    """The default policy's decision on changes of the new and the old text; of the latter against
    the anchor by `anchor` as well.
    """
    names = {
        "new.bits_per_byte": new, "old.bits_per_byte": old, "anchor.bits_per_byte": anchor
    }  # fmt: skip
    return decide(
        Evidence("1", {k: sample(noise=0) for k in names}, against={"anchor.bits_per_byte": "0"}),
        Evidence("2", {k: sample(v) for k, v in names.items()}, {**GOOD, **more}),
        DEFAULT,
        seed=7,
    )


@pytest.mark.parametrize(
    ("new", "old", "decision", "verdicts"),
    [
        (-0.3, 0.0, "promote", ("better", "not worse")),
        (-0.3, -0.1, "promote", ("better", "better")),
        (-0.3, 0.013, "promote", ("better", "not worse")),
        (-0.3, 0.019, "inconclusive", ("better", "unknown")),
        (-0.3, 0.04, "reject", ("better", "worse")),
        (0.1, 0.0, "reject", ("worse", "not worse")),
        (0.0, 0.0, "inconclusive", ("unknown", "not worse")),
    ],
)
def test_default_policy(new: float, old: float, decision: str, verdicts: tuple[str, str]) -> None:
    got = default(new, old)
    assert got.decision == decision, got.reasons
    assert tuple(m.verdict for m in got.metrics.values())[:2] == verdicts


@pytest.mark.parametrize(
    ("old", "anchor", "decision", "verdict"),
    [
        (0.01, 0.022, "promote", "not worse"),
        (0.01, 0.029, "inconclusive", "unknown"),
        (0.01, 0.05, "reject", "worse"),
        (-0.01, 0.05, "reject", "worse"),
    ],
)
def test_losses_that_add_up_against_the_best_version_are_refused(
    old: float, anchor: float, decision: str, verdict: str
) -> None:
    got = default(-0.3, old, anchor)
    entry = got.metrics["anchor.bits_per_byte"]
    assert (got.decision, entry.verdict) == (decision, verdict), got.reasons
    assert entry.against == "0" and got.metrics["old.bits_per_byte"].against == "1"


def test_without_the_anchors_scores_nothing_is_promoted() -> None:
    names = ("new.bits_per_byte", "old.bits_per_byte")
    got = decide(
        Evidence("1", {k: sample(noise=0) for k in names}),
        Evidence("2", {k: sample(-0.3) for k in names}, GOOD),
        DEFAULT,
        seed=7,
    )
    assert got.decision == "inconclusive" and "anchor" in got.reasons[0]


def test_decision_has_the_keys_of_the_contract_and_is_json() -> None:
    got = default(-0.3, 0.0)
    stored = got.as_json()
    assert {"decision", "policy", "metrics", "slices", "guards", "seed", "data"} <= stored.keys()
    entry = got.metrics["new.bits_per_byte"]
    keys = {"champion", "challenger", "difference", "interval", "p", "margin", "verdict", "n"}
    zh = got.slices["new.bits_per_byte"]["lang=zh"]
    assert keys <= entry.as_json().keys() and keys <= zh.as_json().keys()
    assert entry.challenger and entry.champion and entry.difference and entry.interval
    assert entry.difference == pytest.approx(entry.challenger - entry.champion)
    assert entry.interval[0] <= entry.difference <= entry.interval[1] < 0
    assert entry.n == N and entry.p is not None and entry.p < 0.01
    assert got.power == {k: m.power for k, m in got.metrics.items()}
    assert entry.power and entry.se and 0 < entry.power < 0.02 and 0.001 < entry.se < 0.01
    assert Decision.model_validate_json(json.dumps(stored, allow_nan=False)) == got
    assert default(-0.3, 0.0) == got


def test_pairing_sees_what_unpaired_samples_would_not() -> None:
    """A gain of 0.03 where documents differ by 0.5: only the differences are that small."""
    assert default(-0.03, 0.0).metrics["new.bits_per_byte"].verdict == "better"


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(N)))
def test_slices_add_up(order: list[int]) -> None:
    got = default(-0.3, 0.0)
    n = sum(s.n for s in got.slices["old.bits_per_byte"].values())
    assert n == got.metrics["old.bits_per_byte"].n


def metric(name: str, **changes: Any) -> Rule:
    return Rule.model_validate({"name": name, **changes})


POLICY = Policy.model_validate({"name": "p", "metrics": (metric("m"),), "resamples": 500})


def simple(policy: Policy, old: Sample | None, new: Sample | None, **guards: float) -> Decision:
    def of(s: Sample | None) -> dict[str, Sample]:
        return {} if s is None else {"m": s}

    return decide(Evidence("a", of(old)), Evidence("b", of(new), guards), policy, seed=1)


def rule(**changes: Any) -> Policy:
    return POLICY.model_copy(update={"metrics": (metric("m", **changes),)})


def test_few_documents_prove_nothing() -> None:
    got = simple(POLICY, sample(n=7), sample(-1, n=7))
    assert got.decision == "inconclusive" and "fewer than 8" in got.reasons[0]
    assert simple(POLICY, sample(n=8), sample(-1, n=8)).decision == "promote"


def test_five_documents_have_no_interval_and_the_decision_says_so() -> None:
    """All of them agree, and yet 1 of 32 sign flips would do so by chance."""
    few = rule(min_documents=2)
    got = simple(few, sample(n=5), sample(-1, n=5))
    entry = got.metrics["m"]
    assert got.decision == "inconclusive" and "too few documents" in got.reasons[0]
    assert entry.interval is None is entry.power and entry.p and entry.p >= 1 / 32
    json.dumps(got.as_json(), allow_nan=False)
    assert simple(few, sample(n=6), sample(-1, n=6)).decision == "promote"


def test_what_can_not_be_told_says_what_could_have_been_shown() -> None:
    got = simple(POLICY, sample(noise=0), sample(0.0))
    entry = got.metrics["m"]
    assert entry.power
    assert got.reasons == (
        "m: can't be told from no change; the smallest difference that could have been shown is "
        f"{entry.power:.2g}",
    )
    shown = simple(POLICY, sample(noise=0), sample(-2 * entry.power))
    assert shown.decision == "promote"


def test_a_skewed_handful_of_documents_is_not_called_better() -> None:
    """All eight gain, some next to nothing: more like those few would lose."""
    old = sample(noise=0, n=8)
    rates = np.array([0.1, 0.12, 0.02, 0.1, 0.01, 0.02, 0.2, 0.09])
    got = simple(POLICY, old, Sample(old.ids, old.values - rates * old.weights, old.weights))
    assert got.decision == "inconclusive", "the flips alone say 1 of 256"


def test_missing_metric_is_inconclusive_unless_optional() -> None:
    assert simple(POLICY, sample(), None).decision == "inconclusive"
    both = POLICY.model_copy(update={"metrics": (metric("m"), metric("r", optional=True))})
    got = simple(both, sample(), sample(-1))
    assert got.decision == "promote" and got.notes == ("r: not measured",)


def test_other_documents_are_refused() -> None:
    with pytest.raises(UsageError, match="same documents"):
        simple(POLICY, sample(), sample(n=N - 1))
    longer = Sample(sample().ids, sample().values, sample().weights + 1)
    with pytest.raises(UsageError, match="same documents"):
        simple(POLICY, sample(), longer)


def test_scores_that_are_no_numbers_are_worse() -> None:
    broken = sample(-1)
    broken.values[3] = np.nan
    got = simple(POLICY, sample(), broken)
    assert got.decision == "reject"
    json.dumps(got.as_json(), allow_nan=False)


def test_a_model_that_cannot_be_used_is_never_promoted() -> None:
    """Its weights are no numbers, though no document that was scored met the broken ones."""
    sides = {"m": sample()}, {"m": sample(-1)}
    fault = "its weights are not finite numbers (w)"
    got = decide(Evidence("a", sides[0]), Evidence("b", sides[1], fault=fault), POLICY, seed=1)
    assert got.decision == "reject" and got.reasons == (f"the challenger: {fault}",)
    got = decide(Evidence("a", sides[0], fault=fault), Evidence("b", sides[1]), POLICY, seed=1)
    assert got.decision == "inconclusive" and got.reasons == (f"the champion: {fault}",)


def test_no_worse_by_the_interval() -> None:
    careful = rule(require="not_worse", judge="interval", margin=0.02)
    assert simple(careful, sample(noise=0), sample(0.0)).decision == "promote"
    wide = simple(careful, sample(noise=0), sample(0.018, noise=0.1))
    assert wide.decision == "inconclusive"
    assert simple(careful, sample(noise=0), sample(0.1)).decision == "reject"


def test_higher_is_better_for_a_reward() -> None:
    reward = rule(direction="higher", require="not_worse", judge="estimate", margin=0.5)
    prompts = [f"p{i}" for i in range(40)]
    old = np.random.default_rng(2).normal(0, 1, 40)
    new = {
        c: simple(reward, Sample.of_scores(prompts, old), Sample.of_scores(prompts, old + c))
        for c in (0.1, -0.3, -0.7)
    }
    assert [d.decision for d in new.values()] == ["promote", "promote", "reject"]
    assert new[0.1].metrics["m"].verdict == "better"


def test_guard_stops_promotion() -> None:
    guarded = POLICY.model_copy(update={"guards": (Guard(name="g", low=0.1, high=0.9),)})
    assert simple(guarded, sample(), sample(-1), g=0.5).decision == "promote"
    for value in (0.0, 1.0, float("nan")):
        got = simple(guarded, sample(), sample(-1), g=value)
        assert got.decision == "reject" and got.guards["g"].ok is False
        json.dumps(got.as_json(), allow_nan=False)
    missing = simple(guarded, sample(), sample(-1))
    assert missing.decision == "promote" and missing.notes
    needed = Guard(name="g", low=0.1, optional=False)
    strict = POLICY.model_copy(update={"guards": (needed,)})
    assert simple(strict, sample(), sample(-1)).decision == "inconclusive"


def test_default_guard_refuses_text_without_order() -> None:
    got = default(-0.3, 0.0, **{"new.order_gain": 0.01})
    assert got.decision == "reject" and "order" in got.reasons[0]


def test_slice_that_is_surely_worse_rejects_only_where_the_policy_says_so() -> None:
    zh = np.arange(N) % 2 == 0
    new = sample(-0.3)
    new.values[zh] += 0.5 * BYTES[zh]
    old = sample(noise=0)
    either = rule(slices=("lang",), require="not_worse", judge="estimate", margin=1.0)
    assert simple(either, old, new).decision == "promote"
    strict = rule(slices=("lang",), require="not_worse", judge="estimate", margin=1.0,
                  slice_margin=0.1)  # fmt: skip
    got = simple(strict, old, new)
    assert got.decision == "reject" and got.reasons == ("m, lang=zh: worse",)


def test_many_slices_are_held_to_one_level() -> None:
    """Twenty slices that lose nothing: one of many looks bad by chance, and rejects nothing."""
    n, wrong, alone = 400, 0, 0
    names = tuple(f"d{i % 20}" for i in range(n))
    sizes = np.ones(n)
    strict = rule(slices=("domain",), require="not_worse", margin=1.0, slice_margin=0.0)
    for seed in range(40):
        change = np.random.default_rng(seed).normal(0, 1, n)
        old = Sample(tuple(map(str, range(n))), np.zeros(n), sizes, {"domain": names})
        got = simple(strict, old, Sample(old.ids, change, sizes, {"domain": names}))
        wrong += got.decision == "reject"
        ends = [s.interval for s in got.slices["m"].values()]
        alone += any(end is not None and end[0] > 0 for end in ends)
    assert wrong <= 2 and alone > wrong


def test_answers_to_one_prompt_are_one_row() -> None:
    """Answers to a prompt share it: four of each are no four times as many prompts."""
    dice = np.random.default_rng(3)
    prompts = [f"p{i}" for i in range(40)]
    hard = dice.normal(0, 2, (40, 1))
    answers = hard + dice.normal(0, 1, (40, 4))
    one = Sample.of_scores(prompts, answers)
    assert one.values == pytest.approx(answers.mean(1)) and len(one.ids) == 40
    better = rule(direction="higher")
    got = simple(better, Sample.of_scores(prompts, np.zeros(40)), one)
    se = got.metrics["m"].se
    assert se is not None and se == pytest.approx(answers.mean(1).std(ddof=1) / np.sqrt(40))
    assert se > 1.5 * answers.std(ddof=1) / np.sqrt(160)


def test_first_policy_wants_more_than_the_baseline() -> None:
    first = read_policy("first")
    for change, decision in ((-0.2, "promote"), (0.0, "inconclusive"), (0.2, "reject")):
        got = decide(
            Evidence("kneser_ney_bigram", {"old.bits_per_byte": sample(noise=0)}),
            Evidence("moe", {"old.bits_per_byte": sample(change)}),
            first,
            seed=3,
        )
        assert got.decision == decision


@pytest.mark.parametrize(
    ("tax", "decision"),
    [(0.0, "promote"), (0.045, "promote"), (0.058, "inconclusive"), (0.09, "reject")],
)
def test_first_policy_bounds_what_alignment_costs(tax: float, decision: str) -> None:
    names = {"old.bits_per_byte": -0.4, "base.bits_per_byte": tax}
    got = decide(
        Evidence(
            "bigram", {k: sample(noise=0) for k in names}, against={"base.bits_per_byte": "b"}
        ),
        Evidence("moe", {k: sample(v) for k, v in names.items()}),
        read_policy("first"),
        seed=3,
    )
    assert got.decision == decision, got.reasons
