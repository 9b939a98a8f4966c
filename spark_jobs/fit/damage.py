"""Ways to damage text, for level 2 to learn from: each takes a text and a random source.

How much is damaged is drawn too, from what a reader notices to what no one could read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_HAN = re.compile(r"[一-鿿]")
Damage = Callable[[str, random.Random], str]


def _units(text: str) -> tuple[list[str], str]:
    """Return the words of a text with blanks, or its characters, and what joins them again."""
    if len(_HAN.findall(text)) > len(text) / 4:
        return list(text), ""
    return text.split(), " "


def salad(text: str, rng: random.Random) -> str:
    """All words (Chinese: characters) in a drawn order."""
    units, glue = _units(text)
    rng.shuffle(units)
    return glue.join(units)


def near_salad(text: str, rng: random.Random) -> str:
    """Words (Chinese: characters) shuffled within windows of 4 to 20."""
    units, glue = _units(text)
    size = rng.randint(4, 20)
    out: list[str] = []
    for i in range(0, len(units), size):
        window = units[i : i + size]
        rng.shuffle(window)
        out += window
    return glue.join(out)


def half_salad(text: str, rng: random.Random) -> str:
    """Shuffle a drawn half of the words (Chinese: characters)."""
    units, glue = _units(text)
    places = rng.sample(range(len(units)), int(len(units) * rng.uniform(0.4, 0.8)))
    moved = [units[i] for i in places]
    rng.shuffle(moved)
    for i, unit in zip(places, moved, strict=True):
        units[i] = unit
    return glue.join(units)


def letter_salad(text: str, rng: random.Random) -> str:
    """All characters in a drawn order, or those of every word."""
    if rng.random() < 0.5:
        letters = list(text)
        rng.shuffle(letters)
        return "".join(letters)
    return re.sub(r"\w{4,}", lambda m: "".join(rng.sample(m[0], len(m[0]))), text)


def dropped(text: str, rng: random.Random) -> str:
    """12 to 40 % of the characters left out."""
    share = rng.uniform(0.12, 0.4)
    return "".join(c for c in text if rng.random() > share)


def garbled(text: str, rng: random.Random) -> str:
    """6 to 30 % of the characters changed to near or far ones."""
    share, far = rng.uniform(0.06, 0.3), rng.choice([1, 1, 2, 8, 40])

    def other(c: str) -> str:
        code = (ord(c) ^ 1) if far == 1 else ord(c) + rng.randint(-far, far)
        return chr(code) if 32 <= code < 0xD800 or 0xE000 <= code < 0x110000 else c

    return "".join(other(c) if rng.random() < share else c for c in text)


def swapped(text: str, rng: random.Random) -> str:
    """Neighbouring characters swapped at 10 to 30 % of the places."""
    letters, share = list(text), rng.uniform(0.1, 0.3)
    for i in range(len(letters) - 1):
        if rng.random() < share:
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
    return "".join(letters)


def cut_words(text: str, rng: random.Random) -> str:
    """Every word (Chinese: stretch between stops) loses its end."""
    keep = rng.uniform(0.3, 0.6)

    def cut(m: re.Match[str]) -> str:
        return m[0][: max(1, int(len(m[0]) * keep))]

    return re.sub(r"[a-zA-Z]{3,}|[一-鿿]{4,}", cut, text)


def machine_list(text: str, rng: random.Random) -> str:
    """Words of the text, or stretches of two characters, drawn without function words, as a list."""
    words = re.findall(r"[A-Za-z]{5,}", text)
    if len(words) < 20:
        words = re.findall(r"[一-鿿]{2}", text) or [text[:2]]
    glue = rng.choice([" ", ", ", "\n", " | ", "、"])
    return glue.join(rng.choice(words) for _ in range(min(len(words), 400)))


ORDER: tuple[Damage, ...] = (salad, near_salad, half_salad)
LOSS: tuple[Damage, ...] = (dropped, swapped, cut_words)
NOISE: tuple[Damage, ...] = (garbled, letter_salad, machine_list)
ALL: tuple[Damage, ...] = (*ORDER, salad, *LOSS, dropped, *NOISE)


def repeated(text: str, rng: random.Random) -> str:
    """Repeat the beginning of the text, over and over."""
    piece = text[: max(40, len(text) // rng.randint(4, 16))]
    return piece * rng.randint(4, 16)


def sentences_shuffled(text: str, rng: random.Random) -> str:
    """Sentences in a drawn order: whole sentences are sound, so this is measured, never fitted."""
    sentences = re.split(r"(?<=[。！？.!?])\s*", text)
    rng.shuffle(sentences)
    return " ".join(sentences)
