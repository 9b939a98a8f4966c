"""Sentences of a text with every name of a human group replaced by one placeholder, in one pass.

Whoever reads the result cannot tell which group is spoken of: "women are", "Muslim people are" and
"河南人" all begin with the same character. So a model over it gives the same score whatever group
is named (counterfactual invariance by construction, not by training). Pronouns get a second
placeholder. Neighbouring names melt into one: "young black women" is one group, and so is "South
Korea". Adjectives that describe things as well ("old", "rich") name a group only before a group
("old people", not "old town") or as a noun ("the old are").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

from headrace.spark_jobs.kernels.utf8 import Int

GROUP, TAIL, PRONOUN, SLUR, ADJECTIVE, FOLLOW, NAME = range(1, 8)
"""Classes of a term. A tail ("people", "人") belongs to the group in front of it, else to none. A
slur names a group and stays as it is: it says more than which group is meant. An adjective names
one where a group or a tail comes next, and between "the" and a word of the class FOLLOW ("are"). A
name is of a country or an occupation: it is masked apart, and names no group by itself."""
PLACEHOLDER = "\ue000"
"""Stands for a group (private use, so no text has it by chance); U+E001 stands for a pronoun,
U+E002 for a name."""

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_GROUP, _PRONOUN, _NAME = 0x80, 0x81, 0x82
"""The last bytes of the placeholders."""
_P = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0x8A5CD789635D2DFF)
_SHIFT = np.uint64(29)
_LONGEST = 8
"""Characters of the longest Chinese term."""
_BEGINS = 8
"""Added to the class of a word with which a longer term begins."""
_SIEVE = 16
"""Base-2 logarithm of the bits of the sieve: 8 kB stay in the first cache."""
_LEAST, _LONG, _MOST = 144, 480, 960
"""Bytes: a shorter sentence is joined to the next; from _LONG on a comma or blank ends one too; at
_MOST any character does that is not in a Latin word."""


@dataclass(frozen=True)
class Lexicon:
    """Terms as an open-addressing table of 64-bit hashes."""

    keys: npt.NDArray[np.uint64]
    classes: npt.NDArray[np.int8]
    first: npt.NDArray[np.uint8]
    """(65536,) 1 where a Chinese term begins with this character."""
    sieve: npt.NDArray[np.uint8]
    """Bit h >> (64 - _SIEVE) is set for the hash h of every term: most words end here."""

    @classmethod
    def load(cls, path: Path) -> Lexicon:
        """Load the lexicon of a JSON file."""
        return cls.build(cls.terms(path))

    @staticmethod
    def terms(path: Path) -> dict[str, int]:
        """{term: class} of a JSON file {"en"|"zh": {class: "term term …"}}, where _ joins words."""
        terms: dict[str, int] = {}
        for lists in json.loads(path.read_text(encoding="utf-8")).values():
            # A word that is a tail and a group ("women") is a group: it names one by itself.
            for kind, code in (
                ("follow", FOLLOW),
                ("tail", TAIL),
                ("pronoun", PRONOUN),
                ("adjective", ADJECTIVE),
                ("name", NAME),
                ("group", GROUP),
                ("slur", SLUR),
            ):
                found = (term.replace("_", " ") for term in lists.get(kind, "").split())
                terms |= dict.fromkeys(found, code)
        return terms

    @classmethod
    def build(cls, terms: dict[str, int]) -> Lexicon:
        """Build the lexicon from {term: class}; a term is lower-case words or Chinese characters.

        Raises:
            ValueError: a term has another form.
        """
        codes: dict[str, int] = {}
        first = np.zeros(65536, np.uint8)
        for term, code in terms.items():
            words = term.split(" ")
            if all(ord(c) >= 0x2E80 for c in term) and 0 < len(term) <= _LONGEST:
                first[ord(term[0])] = 1
            elif not all(w.isascii() and w.isalpha() and w.islower() for w in words):
                raise ValueError(f"{term!r}: neither words nor 1 to {_LONGEST} characters")
            codes[term] = codes.get(term, 0) | code
            for n in range(1, len(words)):
                begin = " ".join(words[:n])
                codes[begin] = codes.get(begin, 0) | _BEGINS
        size = 1 << max(8, (4 * len(codes)).bit_length())
        keys, classes = np.zeros(size, np.uint64), np.zeros(size, np.int8)
        sieve = np.zeros(1 << (_SIEVE - 3), np.uint8)
        for term, code in codes.items():
            h = int(_SEED)
            for c in term:
                h = ((h ^ ord(c)) * int(_P) & 0xFFFFFFFFFFFFFFFF) ^ (h >> 29)
            h |= 1
            slot = h & (size - 1)
            while keys[slot] and keys[slot] != h:
                slot = (slot + 1) & (size - 1)
            keys[slot], classes[slot] = h, code
            sieve[h >> (64 - _SIEVE) >> 3] |= 1 << (h >> (64 - _SIEVE) & 7)
        return cls(keys, classes, first, sieve)


@dataclass(frozen=True)
class Sentences:
    """Masked sentences of N texts: S of them, in order."""

    data: Bytes
    """UTF-8 of the masked texts; a sentence is data[starts[i]:ends[i]]."""
    starts: Ints
    ends: Ints
    owner: Ints
    """(S,) which text a sentence belongs to."""
    groups: Ints
    """(S,) how many groups it names, slurs included."""
    masked: Ints
    """(S,) how many placeholders of groups are in it."""
    places: Ints
    """(S,) where it begins in the bytes of the batch, unmasked; (S + 1)th: where the last ends."""


@njit(cache=True, nogil=True)
def _step(h: np.uint64, code: np.uint64) -> np.uint64:
    return ((h ^ code) * _P) ^ (h >> _SHIFT)


@njit(cache=True, nogil=True)
def _find(
    h: np.uint64,
    sieve: npt.NDArray[np.uint8],
    keys: npt.NDArray[np.uint64],
    classes: npt.NDArray[np.int8],
) -> Int:
    h |= np.uint64(1)
    place = h >> np.uint64(64 - _SIEVE)
    if not (sieve[place >> np.uint64(3)] >> (place & np.uint64(7))) & 1:
        return 0
    last = np.uint64(keys.size - 1)
    slot = h & last
    while keys[slot] != 0:
        if keys[slot] == h:
            return int(classes[slot])
        slot = (slot + np.uint64(1)) & last
    return 0


@njit(cache=True, nogil=True)
def _with(table: npt.NDArray[np.int64], n: Int, row: tuple[Int, ...]) -> npt.NDArray[np.int64]:
    """`table` with `row` as its nth; twice as long where it was full."""
    if n == table.shape[0]:
        bigger = np.empty((2 * n, table.shape[1]), np.int64)
        bigger[:n] = table
        table = bigger
    for k in range(table.shape[1]):
        table[n, k] = row[k]
    return table


@njit(cache=True, nogil=True)
def _placed(out: npt.NDArray[np.uint8], at: Int, last: Int) -> Int:
    """Write the placeholder whose last byte is `last`; returns where it ends."""
    out[at] = 0xEE
    out[at + 1] = 0x80
    out[at + 2] = last
    return at + 3


@njit(cache=True, nogil=True)
def _letter(c: np.uint8) -> bool | np.bool_:
    return 97 <= (c | 32) <= 122


@njit(cache=True, nogil=True)
def _word(data: npt.NDArray[np.uint8], at: Int, end: Int, h: np.uint64) -> tuple[Int, np.uint64]:
    """(end of the letters at `at`, `h` moved on by them)."""
    while at < end and _letter(data[at]):
        h = _step(h, np.uint64(data[at] | 32))
        at += 1
    return at, h


@njit(cache=True, nogil=True)
def _whole(data: npt.NDArray[np.uint8], start: Int, stop: Int, end: Int) -> bool | np.bool_:
    """Whether the letters data[start:stop] are a word, of a length that terms have.

    What continues in digits, marks or accented letters is another word.
    """
    return stop - start < 24 and (stop == end or data[stop] < 0x80 or data[stop] >= 0xE2)


@njit(cache=True, nogil=True)
def _longer(
    data: npt.NDArray[np.uint8],
    stop: Int,
    end: Int,
    h: np.uint64,
    found: Int,
    sieve: npt.NDArray[np.uint8],
    keys: npt.NDArray[np.uint64],
    classes: npt.NDArray[np.int8],
) -> tuple[Int, Int]:
    """(end, class) of the longest term that begins with the word that ends at `stop`.

    `h` is the word's hash, `found` what the lexicon has for it.
    """
    kind = found & (_BEGINS - 1)
    gap = stop
    while found & _BEGINS:
        if gap + 1 >= end or (data[gap] != 32 and data[gap] != 45 and data[gap] != 39):
            break
        start = gap + 1
        gap, h = _word(data, start, end, _step(h, np.uint64(32)))
        if gap == start or not _whole(data, start, gap, end):
            break
        found = _find(h, sieve, keys, classes)
        if found & (_BEGINS - 1):
            stop = gap
            kind = found & (_BEGINS - 1)
    return stop, kind


@njit(cache=True, nogil=True)
def _the(data: npt.NDArray[np.uint8], begin: Int, at: Int) -> bool | np.bool_:
    """Whether the word before `at` is "the"; `begin` is where the text begins."""
    if at < begin + 4 or data[at - 1] != 32 or (data[at - 2] | 32) != 101:
        return False
    if (data[at - 3] | 32) != 104 or (data[at - 4] | 32) != 116:
        return False
    return at == begin + 4 or not _letter(data[at - 5])


@njit(cache=True, nogil=True)
def _an(data: npt.NDArray[np.uint8], begin: Int, at: Int) -> bool | np.bool_:
    """Whether the word before `at` is "an"; `begin` is where the sentence begins."""
    if at < begin + 3 or data[at - 1] != 32 or (data[at - 2] | 32) != 110:
        return False
    return (data[at - 3] | 32) == 97 and (at == begin + 3 or not _letter(data[at - 4]))


@njit(cache=True, nogil=True)
def _names(
    data: npt.NDArray[np.uint8],
    begin: Int,
    at: Int,
    stop: Int,
    end: Int,
    sieve: npt.NDArray[np.uint8],
    keys: npt.NDArray[np.uint64],
    classes: npt.NDArray[np.int8],
) -> bool | np.bool_:
    """Whether the adjective data[at:stop] names a group: see ADJECTIVE."""
    nominal = _the(data, begin, at)
    for _ in range(3):
        if stop + 1 >= end or (data[stop] != 32 and data[stop] != 45):
            return nominal and (stop >= end or not _letter(data[stop]))
        start = stop + 1
        stop, h = _word(data, start, end, _SEED)
        if stop == start or not _whole(data, start, stop, end):
            return False
        kind = _find(h, sieve, keys, classes)
        if kind & _BEGINS:
            stop, kind = _longer(data, stop, end, h, kind, sieve, keys, classes)
        if kind in (GROUP, TAIL, SLUR):
            return True
        if kind != ADJECTIVE:
            return nominal and kind == FOLLOW
    return False


@njit(cache=True, nogil=True)
def _mask(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    sieve: npt.NDArray[np.uint8],
    keys: npt.NDArray[np.uint64],
    classes: npt.NDArray[np.int8],
    first: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(masked bytes, table (S, 6) of start, end, owner, groups, masked, place)."""
    size = offsets[-1] - offsets[0]
    # A pronoun of two letters, and what parts it from the next, grow by a third.
    out = np.empty(size + size // 2 + 8, np.uint8)
    table = np.empty((1024, 6), np.int64)
    n = 0
    at_out: Int = 0
    for doc in range(offsets.size - 1):
        at, end = offsets[doc], offsets[doc + 1]
        start = at_out
        place = at
        groups = slurs = 0
        content = False
        melted: Int = (
            -1
        )  # where `out` ended after the last placeholder of a group, while it may grow
        inside = False  # in a word that a term can't begin in, after its first letter
        while at < end:
            c = data[at]
            ends = 0  # 1: a sentence ends here if it is long enough; 2: in any case
            step = 1
            if c < 0x80:
                if _letter(c):
                    if not inside:
                        stop, h = _word(data, at, end, _SEED)
                        whole = _whole(data, at, stop, end)
                        kind = _find(h, sieve, keys, classes) if whole else 0
                        if kind & _BEGINS:
                            stop, kind = _longer(data, stop, end, h, kind, sieve, keys, classes)
                        if kind == ADJECTIVE:
                            kind = (
                                GROUP
                                if _names(data, offsets[doc], at, stop, end, sieve, keys, classes)
                                else 0
                            )
                        near = melted >= 0 and at_out - melted <= 1
                        if kind == GROUP or (kind == TAIL and near):
                            if near:
                                at_out = melted
                            else:
                                if _an(out, start, at_out):  # "an Arab" is read like "a Kurd"
                                    at_out -= 1
                                    out[at_out - 1] = 32
                                at_out = _placed(out, at_out, _GROUP)
                                groups += 1
                            melted = at_out
                            content = True
                            at = stop
                            continue
                        if kind == PRONOUN:
                            at_out = _placed(out, at_out, _PRONOUN)
                            content = True
                            at = stop
                            continue
                        if kind == NAME:
                            if _the(out, start, at_out):  # "the Netherlands" is read like "Japan"
                                at_out -= 4
                            if _an(out, start, at_out):
                                at_out -= 1
                                out[at_out - 1] = 32
                            at_out = _placed(out, at_out, _NAME)
                            content = True
                            at = stop
                            continue
                        slurs += kind == SLUR
                        while at < stop:
                            out[at_out] = data[at]
                            at_out += 1
                            at += 1
                        content = True
                        inside = whole is False
                        continue
                elif c == 10:
                    ends = 2
                elif c == 33 or c == 63:
                    ends = 1
                elif c == 46:
                    if at + 1 == end or data[at + 1] <= 34 or data[at + 1] == 39:
                        ends = 1
                elif (c == 32 or c == 44) and at_out - start >= _LONG:
                    ends = 2
                if c > 32:
                    content = True
                inside = 48 <= c <= 57
            elif c >= 0xE0 and c < 0xF0 and at + 2 < end:
                step = 3
                content = True
                inside = False
                code = (int(c & 0x0F) << 12) | (int(data[at + 1] & 0x3F) << 6)
                code |= int(data[at + 2] & 0x3F)
                if first[code]:
                    h = _SEED
                    kind = 0
                    stop = at
                    near = melted == at_out
                    there = at
                    for _k in range(_LONGEST):
                        if there + 2 >= end or data[there] < 0xE0 or data[there] >= 0xF0:
                            break
                        x = (int(data[there] & 0x0F) << 12) | (int(data[there + 1] & 0x3F) << 6)
                        x |= int(data[there + 2] & 0x3F)
                        h = _step(h, np.uint64(x))
                        there += 3
                        found = _find(h, sieve, keys, classes)
                        if found and (found != TAIL or near):
                            kind = found
                            stop = there
                    slurs += kind == SLUR
                    if kind and kind != SLUR:
                        if kind in (PRONOUN, NAME):
                            last = _PRONOUN if kind == PRONOUN else _NAME
                            at_out = _placed(out, at_out, last)
                        else:
                            if not near:
                                at_out = _placed(out, at_out, _GROUP)
                                groups += 1
                            melted = at_out
                        at = stop
                        continue
                if code == 0x3002 or code == 0xFF01 or code == 0xFF1F or code == 0xFF1B:
                    ends = 1
                elif (code == 0xFF0C or code == 0x3001) and at_out - start >= _LONG:
                    ends = 2
            else:
                content = True
                inside = True
            for _ in range(step):
                out[at_out] = data[at]
                at_out += 1
                at += 1
            if at_out - start >= _MOST and (at == end or (data[at] & 0xC0) != 0x80):
                ends = 2
            if ends == 2 or (ends == 1 and at_out - start >= _LEAST):
                if content:
                    table = _with(table, n, (start, at_out, doc, groups + slurs, groups, place))
                    n += 1
                start = at_out
                place = at
                groups = slurs = 0
                content = False
                melted = -1
        if content:
            table = _with(table, n, (start, at_out, doc, groups + slurs, groups, place))
            n += 1
    return out[:at_out], table[:n]


def sentences(data: Bytes, offsets: Ints, lexicon: Lexicon) -> Sentences:
    """Return the masked sentences of the texts data[offsets[i]:offsets[i + 1]].

    A line break always ends a sentence; a full stop, question or exclamation mark ends one that
    has at least 144 bytes, so that short ones stay with what follows: a comment of two or three
    short sentences is judged as one.
    """
    masked, table = _mask(
        data, offsets, lexicon.sieve, lexicon.keys, lexicon.classes, lexicon.first
    )
    columns = (np.ascontiguousarray(column) for column in table.T)
    return Sentences(masked, *columns)


@njit(cache=True, nogil=True)
def _quote(data: npt.NDArray[np.uint8], at: Int, end: Int) -> tuple[int, int]:
    """(kind, length) of a quotation mark at `at`: 1 opens, 2 closes, 3 does both, 0 is none."""
    c = data[at]
    if c == 34:
        return 3, 1
    if c == 0xE2 and at + 2 < end and data[at + 1] == 0x80:
        if data[at + 2] == 0x9C:
            return 1, 3
        if data[at + 2] == 0x9D:
            return 2, 3
    if c == 0xE3 and at + 2 < end and data[at + 1] == 0x80:
        if data[at + 2] == 0x8C or data[at + 2] == 0x8E:
            return 1, 3
        if data[at + 2] == 0x8D or data[at + 2] == 0x8F:
            return 2, 3
    return 0, 1


@njit(cache=True, nogil=True)
def _outside(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    total = 0
    for i in range(starts.size):
        total += ends[i] - starts[i]
    out = np.empty(total, np.uint8)
    begins = np.zeros(starts.size + 1, np.int64)
    n = 0
    for i in range(starts.size):
        at, end = starts[i], ends[i]
        opened = -1  # where in `out` the open quotation began
        while at < end:
            kind, step = _quote(data, at, end)
            if kind & 1 and opened < 0:
                opened = n
            elif kind & 2 and opened >= 0:
                n = opened
                opened = -1
                at += step
                continue
            elif kind == 2:  # it was opened in a sentence before
                n = begins[i]
                at += step
                continue
            for _ in range(step):
                out[n] = data[at]
                n += 1
                at += 1
        if opened >= 0 and n - opened > 1 and out[opened] != 34:
            n = opened  # it is closed in a sentence after
        begins[i + 1] = n
    return out[:n], begins


def outside_quotes(data: Bytes, starts: Ints, ends: Ints) -> tuple[Bytes, Ints]:
    """Return what the spans say outside of quotation marks: (bytes, (N + 1,) offsets).

    A mark that only opens or only closes also takes what lies between it and the span's end or
    beginning, because the quotation continues in a neighbouring span; a single ASCII mark does not.
    """
    text, offsets = _outside(data, starts, ends)
    return text, offsets
