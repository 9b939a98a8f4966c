"""Spoilt answers: never the good one, never blank, each kind with its own fault."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.training.rlhf import rule_reward
from headrace.training.rlhf.data.negatives import KINDS, atoms, corrupt

EN = "The landlord keeps the house and the garden in good repair."
ZH = "出租人应当按照约定及时维修房屋及其附属设施。"
OTHER = "Deep rivers run through seven quiet valleys near Göteborg."


@given(st.text(max_size=80))
def test_atoms_lose_nothing(text: str) -> None:
    assert "".join(atoms(text)) == text


@given(
    st.sampled_from([EN, ZH, "好。", "A.", "一二三"]),
    st.sampled_from([OTHER, ZH]),
    st.integers(0, 999),
)
def test_always_another_text(good: str, other: str, seed: int) -> None:
    kind, worse = corrupt(good, other, Random(seed))
    assert kind in KINDS
    assert worse.strip()
    assert worse.strip() != good.strip()
    assert corrupt(good, other, Random(seed)) == (kind, worse)


@pytest.mark.parametrize("good", [EN, ZH])
@pytest.mark.parametrize(
    ("kind", "check"), [("repeat", "fresh"), ("cut", "sentence"), ("run_on", "sentence")]
)
def test_the_fault_is_the_one_named(good: str, kind: str, check: str) -> None:
    for seed in range(20):
        worse = KINDS[kind](good, OTHER, Random(seed))
        assert not rule_reward.judge(good, worse, True)[check]


@pytest.mark.parametrize("good", [EN, ZH])
def test_a_shuffle_keeps_the_pieces_and_the_end(good: str) -> None:
    worse = KINDS["shuffle"](good, OTHER, Random(1))
    assert sorted(rule_reward.units(worse)) == sorted(rule_reward.units(good))
    assert worse[-1] == good[-1]


def test_garbling_replaces_some_words_by_the_others() -> None:
    worse = KINDS["garble"](EN, OTHER, Random(2))
    assert set(rule_reward.units(worse)) <= set(rule_reward.units(EN + " " + OTHER))
    assert set(rule_reward.units(worse)) & set(rule_reward.units(EN))
    assert set(rule_reward.units(worse)) - set(rule_reward.units(EN))
