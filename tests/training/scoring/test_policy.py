from __future__ import annotations

from pathlib import Path

import pytest

from headrace.infra.errors import UsageError
from headrace.training.scoring.policy import POLICIES, read_policy


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_policies_are_valid(path: Path) -> None:
    assert read_policy(path.stem) == read_policy(path)
    assert read_policy(path).name == path.stem


def test_default_policy_is_the_contract() -> None:
    rules = {r.name: r for r in read_policy("default").metrics}
    new, old, reward = (rules[n] for n in ("new.bits_per_byte", "old.bits_per_byte", "reward"))
    anchor = rules["anchor.bits_per_byte"]
    assert (new.require, new.judge, new.margin) == ("better", "interval", 0)
    assert (old.require, old.judge, old.margin) == ("not_worse", "interval", 0.02)
    assert (anchor.require, anchor.judge, anchor.margin) == ("not_worse", "interval", 0.03)
    assert (reward.require, reward.judge, reward.margin) == ("not_worse", "interval", 0.25)
    assert reward.direction == "higher" and reward.optional


def test_first_policy_is_the_contract() -> None:
    old, base = read_policy("first").metrics
    assert (old.name, old.require, old.judge) == ("old.bits_per_byte", "better", "interval")
    assert (base.name, base.require, base.judge) == ("base.bits_per_byte", "not_worse", "interval")


@pytest.mark.parametrize("name", ["default", "first"])
def test_shipped_rules_want_as_many_documents_as_can_decide(name: str) -> None:
    assert all(rule.min_documents >= 8 for rule in read_policy(name).metrics)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nmetrics: [{name: a, margn: 1}]", "line 2, column 21: unknown setting "
         "metrics.0.margn did you mean metrics.margin?"),
        ("name: x\nmetrics: [{name: a, margin: -1}]", "line 2, column 29: metrics.0.margin = -1"),
        ("name: x\nmetrics: [{name: a, require: beter}]", "did you mean better?"),
        ("name: x\nmetrics: [{name: a, slices: [language]}]", "no column 'language'"),
        ("name: x\nmetrics: [{name: a}]\nname: y", "line 3, column 1: the key name is given twice"),
        ("name: x\nmetrics.name: a", "don't nest: write `metrics: [{name: a}]`"),
        ("metrics: [{name: a}]", "p.yaml: name is missing"),
        ("name: no\nmetrics: [{name: 7}]", "line 2, column 18: metrics.0.name = 7"),
        ("name: x\nmetrics: [{name: a}]\nguards: [{name: g, low: 2, high: 1}]", "low 2 is above"),
        ("name: x\nmetrics: []", "metrics"),
        ("name: x\nmetrics: [{name: a}, {name: a}]", "named twice"),
        ("name: x\nmetrics: [{name: a}]\nguards: [{name: g}]", "neither low nor high"),
        ("name: [", "line 1, column 8: a bracket that isn't closed"),
        ("name:\tx", "line 1, column 6: a tab"),
    ],
)  # fmt: skip
def test_wrong_policies_say_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_policy(path)
    assert said in f"{error.value.message} {error.value.hint}"


def test_unknown_policy_lists_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        read_policy("nope")
    assert "default" in error.value.hint and "first" in error.value.hint
