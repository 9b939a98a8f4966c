"""The gold rule: which answers are well formed, by checks that no model has a say in.

PPO optimises the reward model; whether its answers are better is judged here. An answer passes
where all checks hold; the judgement of a policy is the share of its answers that pass. The checks
know nothing of content: a policy that gives one good sentence to every prompt would pass, which
is why the share of distinct answers and the divergence from the SFT policy are reported beside it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

CHECKS = ("ended", "sentence", "language", "fresh", "length", "balanced", "clean")
"""ended: the policy itself closed the answer, it was not cut off.
sentence: the text ends where a sentence ends.
language: its letters are of the prompt's script.
fresh: no four words (Chinese: six characters) in a row come twice, none comes three times running,
and no eight (twelve) in a row are copied from the prompt.
length: at least 4 words or 6 characters.
balanced: brackets and quotation marks that open also close.
clean: no undecodable byte, control character, line break or mark of the chat format.
"""

MIN_WORDS, MIN_CHARACTERS = 4, 6
REPEAT, COPY = 4, 8
"""In words; Chinese characters count two thirds of one. Statutes repeat terms of four and five
characters all the time: with these bounds 99 % of real next sentences are fresh (set on text of
laws, news, reports and encyclopaedias, before any policy was judged by them)."""

_UNIT = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+|\d+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_FINAL = re.compile("[.!?\u3002\uff01\uff1f\u2026][\"')\\]\u201d\u2019\u300d\u300f\uff09\u300b]*$")
_CLOSES = {
    ")": "(", "]": "[", "\uff09": "\uff08", "\u300b": "\u300a", "\u300d": "\u300c",
    "\u300f": "\u300e", "\u201d": "\u201c", "\u3011": "\u3010",
}  # fmt: skip


def units(text: str) -> list[str]:
    """Return the words of Latin script, the single Han characters and the numbers, in order."""
    return _UNIT.findall(text.lower())


def is_chinese(text: str) -> bool:
    """Whether most units with letters are Han characters."""
    letters = [u for u in units(text) if not u.isdigit()]
    return 2 * sum(bool(_HAN.match(u)) for u in letters) > len(letters)


def _language(prompt: str, response: str) -> bool:
    letters = [u for u in units(response) if not u.isdigit()]
    han = sum(bool(_HAN.match(u)) for u in letters)
    share = han / len(letters) if letters else 0.0
    return bool(letters) and (share >= 0.8 if is_chinese(prompt) else share <= 0.2)


def _grams(x: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(x[i : i + n]) for i in range(len(x) - n + 1)]


def _fresh(prompt: str, response: str) -> bool:
    said = units(response)
    repeat, copy = (n * 3 // 2 if is_chinese(response) else n for n in (REPEAT, COPY))
    grams = _grams(said, repeat)
    stuck = any(a == b == c for (a, b), (_, c) in pairwise(pairwise(said)))
    copied = set(_grams(said, copy)) & set(_grams(units(prompt), copy))
    return len(set(grams)) == len(grams) and not stuck and not copied


def _balanced(text: str) -> bool:
    open_: list[str] = []
    for c in text:
        if c in _CLOSES.values():
            open_.append(c)
        elif c in _CLOSES and (not open_ or open_.pop() != _CLOSES[c]):
            return False
    return not open_ and text.count('"') % 2 == 0


def _clean(text: str) -> bool:
    return "<|" not in text and not any(
        c == "\ufffd" or unicodedata.category(c) == "Cc" for c in text
    )


def judge(prompt: str, response: str, ended: bool) -> dict[str, bool]:
    """Return the outcome of each check for one answer.

    Args:
        prompt: what was asked; its script is the wanted one.
        response: the text of the answer without special tokens.
        ended: whether the policy closed the answer itself.
    """
    text = response.strip()
    said = units(text)
    least = MIN_CHARACTERS if is_chinese(prompt) else MIN_WORDS
    return {
        "ended": ended,
        "sentence": bool(_FINAL.search(text)),
        "language": _language(prompt, text),
        "fresh": _fresh(prompt, text),
        "length": len(said) >= least,
        "balanced": _balanced(text),
        "clean": _clean(text),
    }


def passes(
    prompts: Sequence[str], responses: Sequence[str], ended: Sequence[bool]
) -> tuple[np.ndarray, dict[str, float]]:
    """(1 or 0 an answer, float64; share of answers that hold each check)."""
    judged = [judge(p, r, e) for p, r, e in zip(prompts, responses, ended, strict=True)]
    shares = {c: float(np.mean([j[c] for j in judged])) for c in CHECKS}
    return np.array([float(all(j.values())) for j in judged]), shares
