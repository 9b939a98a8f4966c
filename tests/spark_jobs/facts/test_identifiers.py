"""Check digits: right ones pass, and any change of a digit is seen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.facts.identifiers import chinese_id, iban, isbn, luhn, social_credit

RIGHT = [
    (isbn, "0306406152"),
    (isbn, "080442957X"),
    (isbn, "9780306406157"),
    (luhn, "4539578763621486"),
    (iban, "DE89370400440532013000"),
    (chinese_id, "11010519491231002X"),
    (social_credit, "91350100M000100Y43"),
]


@pytest.mark.parametrize(("valid", "code"), RIGHT)
def test_right_code_passes(valid: Any, code: Any) -> None:
    assert valid(code)


@given(st.sampled_from(RIGHT), st.data())
def test_one_wrong_digit_is_seen(right: Any, data: Any) -> None:
    valid, code = right
    at = data.draw(st.sampled_from([i for i, c in enumerate(code) if c.isdigit()]))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != code[at]]))
    assert not valid(code[:at] + other + code[at + 1 :])
