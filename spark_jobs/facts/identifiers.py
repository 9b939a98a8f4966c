"""Identifiers that carry a check digit, where a label says what they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from headrace.spark_jobs.facts.finding import Finding, Rule, stated
from headrace.spark_jobs.kernels.anchors import Search


def isbn(code: str) -> bool:
    """ISO 2108: weights 10 to 1 modulo 11 (ten digits), 1 and 3 modulo 10 (thirteen)."""
    if len(code) == 10:
        digits = [10 if c in "Xx" else int(c) for c in code]
        return sum(d * w for d, w in zip(digits, range(10, 0, -1), strict=True)) % 11 == 0
    return sum(int(c) * (1, 3)[i % 2] for i, c in enumerate(code)) % 10 == 0


def luhn(code: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    digits = [int(c) for c in reversed(code)]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def iban(code: str) -> bool:
    """ISO 13616: the number modulo 97 is 1."""
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


_WEIGHTS_ID = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def chinese_id(code: str) -> bool:
    """GB 11643-1999: ISO 7064 MOD 11-2 over 17 digits."""
    total = sum(int(c) * w for c, w in zip(code[:17], _WEIGHTS_ID, strict=True))
    return "10X98765432"[total % 11] == code[17].upper()


_CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def social_credit(code: str) -> bool:
    """GB 32100-2015: powers of 3 modulo 31 over 17 characters."""
    total = sum(_CREDIT.index(c) * pow(3, i, 31) for i, c in enumerate(code[:17]))
    return _CREDIT[-total % 31] == code[17]


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "ISBN",
        re.compile(
            r"\bISBN(?:-1[03])?(?: number)?[:：]? ?"
            r"(?P<code>97[89](?:[ -]?\d){10}|\d(?:[ -]?\d){8}[ -]?[\dXx])(?![\d-])"
        ),
        isbn,
    ),
    (
        "card number",
        re.compile(
            r"card number(?: is|:)? ?(?P<code>\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7})\b"
            r"|(?:信用卡|银行卡)(?:号码?|账号)(?:为|是|：|:)?\s?(?P<code2>\d{16,19})(?!\d)",
            re.IGNORECASE,
        ),
        luhn,
    ),
    (
        "IBAN",
        re.compile(r"\bIBAN(?: is)?[:：]? ?(?P<code>[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30})\b"),
        iban,
    ),
    (
        "identity number",
        re.compile(r"身份证号?码?(?:为|是|：|:)?\s?(?P<code>\d{17}[\dXx])(?![\dA-Za-z])"),
        chinese_id,
    ),
    (
        "social credit code",
        re.compile(
            r"统一社会信用代码(?:为|是|：|:)?\s?(?P<code>[0-9A-HJ-NPQRTUWXY]{18})(?![0-9A-Z])"
        ),
        social_credit,
    ),
)


def _placeholder(code: str) -> bool:
    """Whether the digits only stand for digits: 1234…, 0000…, or few different ones."""
    digits = "".join(c for c in code if c.isdigit())
    return len(set(digits)) <= 3 or digits.startswith(("12345678", "87654321", "98765432"))


def identifier(text: str) -> Iterator[Finding]:
    """Labelled identifiers whose check digit is right or wrong."""
    for name, pattern, valid in _KINDS:
        for match in pattern.finditer(text):
            code = next(v for v in match.groupdict().values() if v)
            code = re.sub(r"[ -]", "", code)
            if _placeholder(code):
                continue
            right = valid(code)
            if right or stated(text, *match.span()):
                truth = "its check digit is right" if right else "its check digit is wrong"
                yield Finding(right, match[0], f"as {name} {truth}", match.start())


RULES = (
    Rule(
        "identifier",
        Search(
            ("isbn", "card number", "iban", "身份证", "信用卡", "银行卡", "统一社会信用代码"),
            30,
            70,
            8,
        ),
        identifier,
    ),
)
