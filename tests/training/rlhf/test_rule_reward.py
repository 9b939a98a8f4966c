"""Each check of the gold rule fires on its own fault and on nothing else."""

from __future__ import annotations

import pytest

from headrace.training.rlhf import rule_reward

EN = "Continue this legal text: The tenant pays the rent."
ZH = "续写这段法律文本：承租人应当按照约定支付租金。"


def failed(prompt: str, response: str, ended: bool = True) -> set[str]:
    return {c for c, ok in rule_reward.judge(prompt, response, ended).items() if not ok}


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        (EN, "The landlord keeps the house in good repair."),
        (EN, 'He said: "We agreed on 5 (five) days."'),
        (EN, "Is that so, or do both parties think otherwise?"),
        (ZH, "出租人应当及时维修房屋（包括附属设施）。"),
        (ZH, "他说：“双方约定的期限为三十日。”"),
        (ZH, "本法自2010年1月1日起施行。"),
        (ZH, "检验检测结果经检验检测人员签字后，由负责人签署。"),
    ],
)
def test_good_answers_pass(prompt: str, response: str) -> None:
    assert failed(prompt, response) == set()


@pytest.mark.parametrize(
    ("prompt", "response", "check"),
    [
        (EN, "The landlord keeps the house in", "sentence"),
        (ZH, "出租人应当及时维修房屋和", "sentence"),
        (EN, "出租人应当及时维修房屋设施。", "language"),
        (ZH, "The landlord keeps the house in good repair.", "language"),
        (EN, "The law of the land and the law of the land again.", "fresh"),
        (EN, "We go on and on on on until it ends.", "fresh"),
        (ZH, "有关部门规定，有关部门规定。", "fresh"),
        (EN, "So it is.", "length"),
        (ZH, "应当。", "length"),
        (EN, "The landlord (or his agent keeps the house.", "balanced"),
        (EN, 'The landlord "keeps the house in repair.', "balanced"),
        (ZH, "出租人》应当及时维修房屋设施。", "balanced"),
        (EN, "The landlord keeps\nthe house in repair.", "clean"),
        (EN, "The landlord keeps \ufffd the house in repair.", "clean"),
        (EN, "The landlord keeps <|user|> the house in repair.", "clean"),
    ],
)
def test_a_fault_fails_its_check_alone(prompt: str, response: str, check: str) -> None:
    assert failed(prompt, response) == {check}


def test_an_answer_cut_off_by_the_limit_fails() -> None:
    assert failed(EN, "The landlord keeps the house in good repair.", ended=False) == {"ended"}


def test_copying_the_prompt_is_not_fresh() -> None:
    prompt = "Continue: Each of the two parties keeps one copy of the deed."
    copy = "Each of the two parties keeps one copy of the deed."
    assert failed(prompt, copy) == {"fresh"}


def test_an_empty_answer_passes_nothing_that_needs_text() -> None:
    assert {"sentence", "language", "length"} <= failed(EN, "")


def test_passes_counts_answers_that_hold_all_checks() -> None:
    ok, shares = rule_reward.passes(
        [EN, EN], ["The landlord keeps the house in good repair.", "No end to"], [True, True]
    )
    assert ok.tolist() == [1.0, 0.0]
    assert shares["sentence"] == 0.5
    assert shares["ended"] == 1.0
