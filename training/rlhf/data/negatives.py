"""Worse answers made from good ones: the rejected side of derived preference pairs.

Each kind spoils one thing, so that the reward model's accuracy can be told a kind at a time. Kinds
keep the length of the good answer where they can, or length alone would tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_ATOM = re.compile(r"[\u3400-\u9fff]|(?:[^\W\u3400-\u9fff]|['\-](?=[a-z]))+|[^\w\s]|\s+")
_FINAL = re.compile("[.!?\u3002\uff01\uff1f][\"')\\]\u201d\u2019\u300d\u300f\uff09\u300b]*$")


def atoms(text: str) -> list[str]:
    """Words, single Han characters, marks and spaces; joined they give the text."""
    return _ATOM.findall(text)


def _body(good: str) -> tuple[list[str], str]:
    """(atoms without the final marks, final marks)."""
    end = _FINAL.search(good)
    at = end.start() if end else len(good)
    return atoms(good[:at]), good[at:]


def repeat(good: str, other: str, rng: Random) -> str:
    """Put the answer in a loop: a phrase of it is repeated again and again to the end."""
    said, final = _body(good)
    size = rng.randint(3, 8)
    at = rng.randint(0, max(0, len(said) // 2))
    loop = said[at : at + size] or said
    out = said[: at + len(loop)]
    while len(out) < len(said):
        out += loop
    return "".join([*out, *loop]) + (final if rng.random() < 0.5 else "")


def shuffle(good: str, other: str, rng: Random) -> str:
    """Put the same words (Chinese: pieces of two characters) in another order."""
    said, final = _body(good)
    if any(a.isspace() for a in said):
        pieces = [a for a in said if not a.isspace()]
        rng.shuffle(pieces)
        return " ".join(pieces) + final
    pieces = ["".join(said[i : i + 2]) for i in range(0, len(said), 2)]
    rng.shuffle(pieces)
    return "".join(pieces) + final


def cut(good: str, other: str, rng: Random) -> str:
    """Break the answer off in mid-sentence."""
    said, _ = _body(good)
    return "".join(said[: max(2, int(len(said) * rng.uniform(0.3, 0.85)))]).rstrip()


def run_on(good: str, other: str, rng: Random) -> str:
    """Drop the answer's end and run into another text that breaks off too."""
    said, _ = _body(good)
    tail, _ = _body(other)
    head = said[: max(2, int(len(said) * rng.uniform(0.4, 0.9)))]
    return "".join(head + tail[: max(2, len(said) - len(head))]).rstrip()


def garble(good: str, other: str, rng: Random) -> str:
    """Replace some of the words (Chinese: characters) by pieces of another text."""
    said, final = _body(good)
    pool = [a for a in atoms(other) if not a.isspace()] or ["?"]
    share = rng.uniform(0.2, 0.5)
    return (
        "".join(a if a.isspace() or rng.random() > share else rng.choice(pool) for a in said)
        + final
    )


def fragment(good: str, other: str, rng: Random) -> str:
    """Keep the last few words of the answer alone: ended, but saying nothing."""
    said, final = _body(good)
    return "".join(said[-rng.randint(1, 4) :]).lstrip() + final


def mix(good: str, other: str, rng: Random) -> str:
    """Insert a stretch of another text, best of the other language, in the answer's middle."""
    said, final = _body(good)
    piece, _ = _body(other)
    size = min(len(piece), max(3, len(said) // 3))
    start = rng.randint(0, max(0, len(piece) - size))
    at = rng.randint(0, max(0, len(said) - size))
    return "".join(said[:at] + piece[start : start + size] + said[at + size :]) + final


def swap(good: str, other: str, rng: Random) -> str:
    """Return a good answer to another prompt: the wrong language or the wrong matter."""
    return other


KINDS: dict[str, Callable[[str, str, Random], str]] = {
    "repeat": repeat,
    "shuffle": shuffle,
    "cut": cut,
    "run_on": run_on,
    "garble": garble,
    "fragment": fragment,
    "mix": mix,
    "swap": swap,
}
"""Kind to function of (good answer, an answer to another prompt, random source)."""


def corrupt(good: str, other: str, rng: Random) -> tuple[str, str]:
    """(kind, worse answer), never equal to the good one and never blank."""
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for kind in kinds:
        worse = KINDS[kind](good, other, rng)
        if worse.strip() and worse.strip() != good.strip():
            return kind, worse
    return "cut", good[: max(1, len(good) // 2)]
