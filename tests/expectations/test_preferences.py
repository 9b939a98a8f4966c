"""Alignment data: right records pass, each fault is named."""

from headrace.expectations import preferences

PAIR = ("prompt", "chosen", "rejected")


def pairs(n: int) -> list[dict[str, str | None]]:
    return [{"prompt": f"p{i}", "chosen": f"c{i}", "rejected": f"r{i}"} for i in range(n)]


def test_right_records_pass() -> None:
    assert preferences.validate(pairs(9), PAIR).success
    sft = [{"prompt": f"p{i}", "response": "yes", "more": "x"} for i in range(9)]
    assert preferences.validate(sft, ("prompt", "response")).success
    assert preferences.validate([{"prompt": "p"}, {"prompt": "q"}], ("prompt",)).success


def test_faults_are_named() -> None:
    records = pairs(9)
    records[1]["prompt"] = " "
    records[2]["chosen"] = None
    records[3]["rejected"] = records[3]["chosen"]
    failed = preferences.validate(records, PAIR).failed
    assert len(failed) == 3, failed
    assert "is not blank (prompt)" in failed[0] and "record 2" in failed[0]
    assert "has a value in every row (chosen)" in failed[1] and "record 3" in failed[1]
    assert "is not the rejected one" in failed[2] and "record 4" in failed[2]


def test_repeats_are_bounded() -> None:
    assert preferences.validate(pairs(5) + pairs(5), PAIR).success
    many = preferences.validate(pairs(5) * 3, PAIR).failed
    assert len(many) == 1 and "repeats an earlier record" in many[0]
