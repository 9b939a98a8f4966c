"""Sentences of a text with every name of a human group replaced by one placeholder, in one pass.

Whoever reads the result cannot tell which group is spoken of: "women are", "Muslim people are" and
"河南人" all begin with the same character. So a model over it gives the same score whatever group
is named (counterfactual invariance by construction, not by training). Pronouns get a second
placeholder. Neighbouring names melt into one: "young black women" is one group.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

GROUP, TAIL, PRONOUN, SLUR = 1, 2, 3, 4
"""Classes of a term. A tail ("people", "人") belongs to the group in front of it, else to none. A
slur names a group and stays as it is: it says more than which group is meant."""
PLACEHOLDER = "\ue000"
"""Stands for a group (private use, so no text has it by chance); U+E001 stands for a pronoun."""

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_GROUP, _PRONOUN = 0x80, 0x81
"""The last bytes of the two placeholders."""
_P = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0x8A5CD789635D2DFF)
_SHIFT = np.uint64(29)
_LONGEST = 8
"""Characters of the longest Chinese term."""
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

    @classmethod
    def load(cls, path: Path) -> Lexicon:
        """The lexicon of a JSON file: {"en"|"zh": {class: "term term …"}}."""
        terms: dict[str, int] = {}
        for lists in json.loads(path.read_text(encoding="utf-8")).values():
            # A word that is a tail and a group ("women") is a group: it names one by itself.
            for kind, code in (
                ("tail", TAIL),
                ("pronoun", PRONOUN),
                ("group", GROUP),
                ("slur", SLUR),
            ):
                terms |= dict.fromkeys(lists.get(kind, "").split(), code)
        return cls.build(terms)

    @classmethod
    def build(cls, terms: dict[str, int]) -> Lexicon:
        """The lexicon of {term: class}; a term is one lower-case word or Chinese characters.

        Raises:
            ValueError: a term has another form.
        """
        size = 1 << max(8, (4 * len(terms)).bit_length())
        keys, classes = np.zeros(size, np.uint64), np.zeros(size, np.int8)
        first = np.zeros(65536, np.uint8)
        for term, code in terms.items():
            han = all(ord(c) >= 0x2E80 for c in term)
            if not ((han and len(term) <= _LONGEST) or (term.isascii() and term.isalpha())):
                raise ValueError(f"{term!r}: neither one word nor 1 to {_LONGEST} characters")
            if han:
                first[ord(term[0])] = 1
            h = int(_SEED)
            for c in term:
                h = ((h ^ ord(c)) * int(_P) & 0xFFFFFFFFFFFFFFFF) ^ (h >> 29)
            h |= 1
            slot = h & (size - 1)
            while keys[slot] and keys[slot] != h:
                slot = (slot + 1) & (size - 1)
            keys[slot], classes[slot] = h, code
        return cls(keys, classes, first)


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
def _step(h, code):  # type: ignore[no-untyped-def]
    return ((h ^ code) * _P) ^ (h >> _SHIFT)


@njit(cache=True, nogil=True)
def _find(h, keys, classes):  # type: ignore[no-untyped-def]
    h |= np.uint64(1)
    last = np.uint64(keys.size - 1)
    slot = h & last
    while keys[slot] != 0:
        if keys[slot] == h:
            return classes[slot]
        slot = (slot + np.uint64(1)) & last
    return 0


@njit(cache=True, nogil=True)
def _with(table, n, row):  # type: ignore[no-untyped-def]
    """`table` with `row` as its nth; twice as long where it was full."""
    if n == table.shape[0]:
        bigger = np.empty((2 * n, table.shape[1]), np.int64)
        bigger[:n] = table
        table = bigger
    for k in range(table.shape[1]):
        table[n, k] = row[k]
    return table


@njit(cache=True, nogil=True)
def _placed(out, at, last):  # type: ignore[no-untyped-def]
    """Write the placeholder whose last byte is `last`; returns where it ends."""
    out[at] = 0xEE
    out[at + 1] = 0x80
    out[at + 2] = last
    return at + 3


@njit(cache=True, nogil=True)
def _letter(c):  # type: ignore[no-untyped-def]
    return 97 <= (c | 32) <= 122


@njit(cache=True, nogil=True)
def _mask(data, offsets, keys, classes, first):  # type: ignore[no-untyped-def]
    """(masked bytes, table (S, 6) of start, end, owner, groups, masked, place)."""
    size = offsets[-1] - offsets[0]
    # A pronoun of two letters, and what parts it from the next, grow by a third.
    out = np.empty(size + size // 2 + 8, np.uint8)
    table = np.empty((1024, 6), np.int64)
    n = 0
    at_out = 0
    for doc in range(offsets.size - 1):
        at, end = offsets[doc], offsets[doc + 1]
        start = at_out
        place = at
        groups = slurs = 0
        content = False
        melted = -1  # where `out` ended after the last placeholder of a group, while it may grow
        inside = False  # in a word that a term can't begin in, after its first letter
        while at < end:
            c = data[at]
            ends = 0  # 1: a sentence ends here if it is long enough; 2: in any case
            step = 1
            if c < 0x80:
                if _letter(c):
                    if not inside:
                        stop = at
                        h = _SEED
                        while stop < end and _letter(data[stop]):
                            h = _step(h, np.uint64(data[stop] | 32))
                            stop += 1
                        # What goes on in digits, marks or accented letters is another word.
                        whole = stop == end or data[stop] < 0x80 or data[stop] >= 0xE2
                        kind = _find(h, keys, classes) if whole and stop - at < 24 else 0
                        near = melted >= 0 and at_out - melted <= 1
                        if kind == 1 or (kind == 2 and near):
                            if near:
                                at_out = melted
                            else:
                                at_out = _placed(out, at_out, _GROUP)
                                groups += 1
                            melted = at_out
                            content = True
                            at = stop
                            continue
                        if kind == 3:
                            at_out = _placed(out, at_out, _PRONOUN)
                            content = True
                            at = stop
                            continue
                        slurs += kind == 4
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
                        found = _find(h, keys, classes)
                        if found and (found != 2 or near):
                            kind = found
                            stop = there
                    slurs += kind == 4
                    if kind and kind != 4:
                        if kind == 3:
                            at_out = _placed(out, at_out, _PRONOUN)
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
    """The masked sentences of the texts data[offsets[i]:offsets[i + 1]].

    A line break always ends a sentence; a full stop, question or exclamation mark ends one that
    has at least 144 bytes, so that short ones stay with what follows: a comment of two or three
    short sentences is judged as one.
    """
    masked, table = _mask(data, offsets, lexicon.keys, lexicon.classes, lexicon.first)
    columns = (np.ascontiguousarray(column) for column in table.T)
    return Sentences(masked, *columns)


@njit(cache=True, nogil=True)
def _quote(data, at, end):  # type: ignore[no-untyped-def]
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
def _outside(data, starts, ends):  # type: ignore[no-untyped-def]
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
    """What the spans say outside of quotation marks: (bytes, (N + 1,) offsets).

    A mark that only opens or only closes also takes what lies between it and the span's end or
    beginning, because the quotation goes on in a neighbouring span; a single ASCII mark does not.
    """
    text, offsets = _outside(data, starts, ends)
    return text, offsets
