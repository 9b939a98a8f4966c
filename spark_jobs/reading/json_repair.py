"""The slow and careful reader, for the few JSON objects that the scanner calls odd.

What can be read in one way only is written again as strict JSON, and each such place is named:

- half of a surrogate pair becomes U+FFFD;
- a raw control character in a string is escaped, a byte order mark before the object dropped;
- of a key that an object has several times the last one wins, as nearly all readers have it;
- a number that JSON or a double doesn't know (NaN, Infinity, 1e400, 0x10, 01, .5) becomes a string;
- a member that is nested deeper than MAX_DEPTH becomes a string of what was written.

All else keeps its bytes. What can be read in several ways, or not at all, isn't guessed at.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from headrace.spark_jobs.kernels.json_objects import MAX_DEPTH

MOST_NAMED = 10
"""Different repairs that are named in a record; all of them are counted."""
_NAME_CHARACTERS = 60

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]:,]|[^\s"{}\[\]:,]++', re.DOTALL)
_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*+")
_CONTROL = re.compile(r"[\x00-\x1f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?", re.ASCII)
_LIKE_A_NUMBER = re.compile(
    r"[+-]?(?:nan|inf(?:inity)?|0x[0-9a-f]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)",
    re.ASCII | re.IGNORECASE,
)
_DECODER = json.JSONDecoder(strict=False)
_KINDS = {"[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}


class UnreadableJsonError(Exception):
    """Why a text can't be read as a JSON object."""


@dataclass
class Repaired:
    """A JSON object written again, and what had to be repaired in it."""

    text: str = ""
    repairs: Counter[str] = field(default_factory=Counter)
    """How often each repair was made."""


@dataclass
class _Frame:
    """An open object or array."""

    closing: str
    comma: int = -1
    """Where the comma before the member that is being read stands in the output."""
    key: str = ""
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of an object: where each member begins (its comma) and ends in the output."""
    empty: bool = True


def decoded(raw: bytes) -> tuple[str, int] | None:
    """(text, surrogates in it) of bytes that are UTF-8 but for surrogates written as characters.

    Some writers make such bytes of half a pair; a whole pair is put together. None for all else.
    """
    try:
        return raw.decode(), 0
    except UnicodeDecodeError:
        pass
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    text, pairs = _PAIR.subn(lambda m: _together(m[0]), text)
    text, halves = _SURROGATE.subn("\ufffd", text)
    return text, pairs + halves


def _together(pair: str) -> str:
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def named(repairs: Counter[str]) -> list[str]:
    """Return the names of repairs as they stand in a record's metadata."""
    return sorted(repairs)[:MOST_NAMED]


def _short(text: str) -> str:
    return text if len(text) <= _NAME_CHARACTERS else text[:_NAME_CHARACTERS] + "…"


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _end_of(text: str, at: int) -> int:
    """Where the object or array that begins at `at` ends, by its brackets; -1 where they are wrong.

    It keeps one byte per level.
    """
    closing = bytearray()
    for token in _BRACKET.finditer(text, at):
        mark = token[0]
        if mark in ("{", "["):
            closing.append(ord("}" if mark == "{" else "]"))
        elif mark in ("}", "]"):
            if closing.pop() != ord(mark):
                return -1
            if not closing:
                return token.end()
        elif mark == '"':
            return -1
    return -1


class _Writer:
    """One pass over the tokens of a text; no recursion, so that depth costs no stack."""

    def __init__(self, text: str, typed: Collection[str]) -> None:
        self.text, self.typed = text, typed
        self.out: list[str] = []
        self.repairs: Counter[str] = Counter()
        self.renamed: list[tuple[int, str]] = []
        """(where in the output, key) of members that must not be taken for text or id."""
        self.value_at = 0
        """Where the value of the outermost object's current member begins."""

    def _wrong(self, what: str, at: int) -> UnreadableJsonError:
        at = min(at, len(self.text.rstrip(" \t\r\n")))
        return UnreadableJsonError(f"not valid JSON: {what} at character {at + 1}")

    def string(self, token: str, at: int) -> tuple[str, str]:
        """(value, strict JSON) of a string token."""
        try:
            value = _DECODER.decode(token)
        except json.JSONDecodeError as error:
            raise self._wrong(error.msg.lower(), at) from None
        controls = len(_CONTROL.findall(token))
        value, halves = _SURROGATE.subn("\ufffd", value)
        if not controls and not halves:
            return value, token
        if controls:
            self.repairs["control character"] += controls
        if halves:
            self.repairs["surrogate"] += halves
        return value, json.dumps(value, ensure_ascii=False)

    def word(self, token: str, at: int, top: _Frame | None) -> str:
        """Strict JSON of a token that is no string."""
        if token in ("true", "false", "null"):
            return token
        sound = _NUMBER.fullmatch(token)
        if sound and float(token) not in (float("inf"), float("-inf")):
            return token
        if not sound and not _LIKE_A_NUMBER.fullmatch(token):
            raise self._wrong(f"{_short(token)!r}", at)
        self.repairs[f"number: {_short(token)}"] += 1
        if top is not None:
            self._now_a_string(top)
        return json.dumps(token)

    def _now_a_string(self, top: _Frame) -> None:
        if top.key in self.typed:
            self.renamed.append((top.comma + 1, top.key))

    def _as_text(self, stack: list[_Frame]) -> int:
        """Write the outermost object's current member as a string; where it ends in the text."""
        end = _end_of(self.text, self.value_at)
        if end < 0:
            raise self._wrong("brackets that don't match", self.value_at)
        top = stack[0]
        if top.closing != "}":
            raise UnreadableJsonError("a JSON array, not an object")
        del stack[1:]
        del self.out[top.comma + 2 :]
        self.out.append(json.dumps(self.text[self.value_at : end], ensure_ascii=False))
        self.repairs[f"nested deeper than {MAX_DEPTH} levels: {_short(top.key)}"] += 1
        self._now_a_string(top)
        self._end(top)
        return end

    def _begin(self, frame: _Frame) -> None:
        """Put the comma before a member, nothing before the first."""
        frame.comma = len(self.out)
        self.out.append("" if frame.empty else ",")
        frame.empty = False

    def _end(self, frame: _Frame) -> None:
        """Note a complete member of an object; an earlier one with its key goes."""
        if frame.closing != "}":
            return
        if frame.key in frame.members:
            begin, end = frame.members.pop(frame.key)
            self.out[begin:end] = [""] * (end - begin)
            self.repairs[f"duplicate key: {_short(frame.key)}"] += 1
        frame.members[frame.key] = (frame.comma, len(self.out))

    def run(self) -> None:
        text, out = self.text, self.out
        stack: list[_Frame] = []
        at, state = 0, "value"
        while True:
            at = _after_space(text, at)
            if not stack and state == "after":
                if at < len(text):
                    raise self._wrong("more after its end", at)
                return
            found = _TOKEN.match(text, at)
            if found is None:
                cut = text[at : at + 1] in ("", '"')
                raise self._wrong("it ends early" if cut else repr(text[at]), at)
            token, begin, at = found[0], at, found.end()
            frame = stack[-1] if stack else None
            if state == "after":
                assert frame is not None
                if token == ",":  # nosec B105 # of JSON
                    state = "key" if frame.closing == "}" else "value"
                    continue
                if token != frame.closing:
                    raise self._wrong(f"no comma or {frame.closing} but {_short(token)!r}", begin)
            elif state in ("key", "first key") and token != ("}" if state == "first key" else ""):
                assert frame is not None
                if token[0] != '"':
                    raise self._wrong(f"no key but {_short(token)!r}", begin)
                self._begin(frame)
                frame.key, key = self.string(token, begin)
                out.append(key + ":")
                at = _after_space(text, at)
                if text[at : at + 1] != ":":
                    raise self._wrong("no colon after a key", at)
                at += 1
                state = "value"
                continue
            elif state in ("value", "first value") and token != (
                "]" if state == "first value" else ""
            ):
                if frame is not None and frame.closing == "]":
                    self._begin(frame)
                if token in ("{", "["):
                    if len(stack) == 1:
                        self.value_at = begin
                    elif len(stack) == MAX_DEPTH:
                        at = self._as_text(stack)
                        state = "after"
                        continue
                    stack.append(_Frame("}" if token == "{" else "]"))  # nosec B105 # of JSON
                    out.append(token)
                    state = "first key" if token == "{" else "first value"  # nosec B105 # of JSON
                    continue
                if token[0] == '"':
                    out.append(self.string(token, begin)[1])
                elif token in ("}", "]", ":", ","):
                    raise self._wrong(f"no value but {token!r}", begin)
                else:
                    out.append(self.word(token, begin, frame if len(stack) == 1 else None))
                if frame is not None:
                    self._end(frame)
                state = "after"
                continue
            assert frame is not None
            if frame.members:
                # Where the first one went, the first that is left has no comma before it.
                out[next(iter(frame.members.values()))[0]] = ""
            out.append(frame.closing)
            stack.pop()
            state = "after"
            if stack:
                self._end(stack[-1])
            else:
                self._rename(frame)

    def _rename(self, top: _Frame) -> None:
        for at, key in self.renamed:
            if self.out[at]:
                name = f"given_{key}"
                while name in top.members:
                    name += "_"
                self.out[at] = json.dumps(name, ensure_ascii=False) + ":"


def repair(raw: bytes, typed: Collection[str] = ()) -> Repaired:
    """Return a JSON object as strict JSON.

    Args:
        raw: the object's bytes.
        typed: keys of the outermost object under which a string means something else than what
            is no string: a value there that becomes one gets the key `given_<key>`.

    Raises:
        UnreadableJsonError: it is no object, or can't be read in one way.
    """
    text = decoded(raw)
    if text is None:
        raise UnreadableJsonError("not UTF-8")
    plain, surrogates = text
    marks = len(plain) - len(plain.lstrip("\ufeff"))
    writer = _Writer(plain[marks:], typed)
    writer.run()
    first = plain[marks:].lstrip()[:1]
    if first != "{":
        raise UnreadableJsonError(f"a JSON {_KINDS.get(first, 'number')}, not an object")
    if surrogates:
        writer.repairs["surrogate"] += surrogates
    if marks:
        writer.repairs["byte order mark"] += marks
    return Repaired("".join(writer.out), writer.repairs)


def members(text: str) -> list[tuple[str, str]]:
    """(key, strict JSON of its value) of the members of a strict JSON object, in their order."""
    found: list[tuple[str, str]] = []
    depth, key, begin = 0, "", 0
    at = 0
    while (token := _TOKEN.search(text, at)) is not None:
        mark, at = token[0], token.end()
        if mark in ("{", "["):
            depth += 1
        if depth == 1 and mark == ":":
            begin = at
        elif depth == 1 and mark[0] == '"' and begin == 0:
            key = json.loads(mark)
        if depth == 1 and begin and mark in (",", "}"):
            found.append((key, text[begin : token.start()].strip(" \t\r\n")))
            begin = 0
        if mark in ("}", "]"):
            depth -= 1
    return found
