"""YAML and JSON that a user writes, read strictly: every fault is named with line and column.

Plain scalars are read by the core schema of YAML 1.2, with which JSON agrees: `no` is a word and
not a truth value, `1e-4` a number, `1:30` and `2026-01-01` text. What YAML lets pass in silence is
refused: a key given twice, a key that isn't text, a tag, a second document, a number with a leading
zero (some readers take it for octal).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue

from headrace.infra.errors import UsageError

MOST_VALUES = 100_000
"""A file with more values than this is refused: aliases of aliases could fill the memory."""

KeyPath = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
"""Pattern and first characters of each kind of plain scalar (YAML 1.2.2, section 10.3.2)."""

_KINDS = {"int": "a number", "float": "a number", "bool": "a truth value", "null": "nothing"}
_MOST_DIGITS = 40
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")

_PLAINER = (
    ("found character '\\t'", "a tab", "use spaces: YAML allows no tabs"),
    (
        "mapping values are not allowed",
        "a `key: value` where none can be",
        "look at the indentation of this line and the one before, and for a second colon in it",
    ),
    ("could not find expected ':'", "no `: ` after the key", "write `key: value`"),
    ("but found '<block mapping start>'", "indentation that fits no line above",
     "indent the keys of one section alike"),
    ("but found '?'", "a `key: value` in a list", "indent it, or remove the `- ` above it"),
    ("found unexpected end of stream", "a quotation mark that isn't closed", "close it"),
    ("found undefined alias", "an unknown alias", "put text that begins with * in quotes"),
    ("that cannot start any token", "text that begins with a character that YAML reserves",
     "put it in quotes"),
    (
        "expected the node content",
        "a bracket that isn't closed, or a value that is missing",
        "close it, or write the value",
    ),
    (
        "expected ',' or",
        "a bracket that isn't closed, or lacks a comma",
        "close it, and put commas between its items",
    ),
    ("but found another document", "a second document (`---`)", "keep only one"),
)  # fmt: skip
"""Part of the parser's message, the same in plain words, and what to do."""


class _Reader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (declared so in PyYAML)


for _kind, (_pattern, _first) in _SCALARS.items():
    _Reader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first)


@dataclass(frozen=True)
class Place:
    """Where a key and its value stand: line and column from 1."""

    key: tuple[int, int]
    value: tuple[int, int]
    plain: str | None = None
    """The value as it is written, where it is a scalar without quotes."""


@dataclass
class Config:
    """What one source gives: a file, or one `--set`."""

    name: str
    """What messages call the source."""
    data: dict[str, JsonValue] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    """Place of each value by its path; empty where the source has no lines."""

    def section(self, *path: str | int) -> Config:
        """Return what stands below a path, with its places; nothing where nothing stands there."""
        data: Any = self.data
        for step in path:
            data = (
                data[step] if step in (data if isinstance(data, dict) else range(len(data))) else {}
            )
        n = len(path)
        places = {p[n:]: place for p, place in self.places.items() if p[:n] == path}
        return Config(self.name, data, places)

    def at(self, path: KeyPath, key: bool = False) -> str:
        """Return the source in words, with the place of a value (or of its key) where it has lines.

        Of what isn't there it is the place of the section that lacks it.
        """
        for end in range(len(path), -1, -1):
            if place := self.places.get(path[:end]):
                return _at(self.name, place.key if key and end == len(path) else place.value)
        return self.name


def read_config(path: Path | None, option: str = "") -> Config:
    """Return the mapping that a YAML or JSON file holds; an empty one without a file.

    Args:
        path: the file.
        option: the option that named it, for messages.

    Raises:
        UsageError: the file is missing, can't be read, is no mapping, or its meaning is in doubt.
    """
    if path is None:
        return Config("no file")
    name = f"{option} {path}".strip()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", "give the path of a YAML file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{name}, line {line}: not UTF-8 text", "save it as UTF-8") from None
    if path.suffix.lower() == ".json":
        # Between values a tab is white space to JSON; inside of one it can't be.
        text = text.replace("\t", " ")
    data, places = parse(text, name)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UsageError(f"{name}: not a mapping of settings", _no_mapping(data))
    return Config(name, data, places)


def _no_mapping(data: JsonValue) -> str:
    if isinstance(data, str) and "\uff1a" in data:
        return "YAML needs an ASCII colon: write `key: value`"
    if isinstance(data, str) and ":" in data:
        return "put a space after the colon: `key: value`"
    return "write `key: value` lines"


def parse(text: str, name: str) -> tuple[JsonValue, dict[KeyPath, Place]]:
    """Return the value of a YAML text, and where everything in it stands.

    Raises:
        UsageError: it is no YAML, or YAML whose meaning is in doubt; `name` stands for the text.
    """
    try:
        reader = _Reader(text)
        node = reader.get_single_node()
        values = _Values(reader, name)
        return values.of(node, ()) if node else None, values.places
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, name) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise UsageError(
            f"{_at(name, mark)}: the character U+{ord(text[error.position]):04X} isn't allowed",
            "remove it",
        ) from None
    except RecursionError:
        raise UsageError(f"{name}: nested too deeply", "nest fewer levels") from None


def _at(name: str, mark: tuple[int, int]) -> str:
    return f"{name}, line {mark[0]}, column {mark[1]}"


def _mark(mark: yaml.Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _syntax(error: yaml.MarkedYAMLError, name: str) -> UsageError:
    """Return the parser's error in the words of the file."""
    said, mark = str(error.problem), error.problem_mark
    known = [(plain, hint) for part, plain, hint in _PLAINER if part in said]
    plain, hint = known[0] if known else (f"not valid YAML: {said}", "write plain YAML")
    # What isn't closed is best named by where it begins.
    if "isn't closed" in plain and error.context_mark is not None:
        mark = error.context_mark
    where = name if mark is None else _at(name, _mark(mark))
    return UsageError(f"{where}: {plain}", hint)


class _Values:
    """The values of a tree of nodes, with their places."""

    def __init__(self, reader: _Reader, name: str) -> None:
        self.places: dict[KeyPath, Place] = {}
        # Without types in the stubs.
        resolve: Any = reader.resolve
        self._resolve: Callable[[type[yaml.Node], str, tuple[bool, bool]], str] = resolve
        self._name, self._seen, self._open = name, 0, set[int]()

    def of(self, node: yaml.Node, path: KeyPath, key: yaml.Node | None = None) -> JsonValue:
        """Return the value of a node, which stands under `key` where it is a mapping's."""
        self._seen += 1
        if self._seen > MOST_VALUES or id(node) in self._open:
            raise self._fault(node, "too many values, or an alias of itself", "remove the aliases")
        plain = node.value if isinstance(node, yaml.ScalarNode) and node.style is None else None
        self.places[path] = Place(_mark((key or node).start_mark), _mark(node.start_mark), plain)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.of(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._mapping(node, path)
            raise self._tagged(node)
        finally:
            self._open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, JsonValue]:
        merges = [value for key, value in node.value if key.tag == f"{_TAG}merge"]
        out: dict[str, JsonValue] = {}
        # What is merged in yields to the mapping's own keys, and among several to the first.
        for one in reversed([m for value in merges for m in self._merged(value)]):
            out |= self._mapping(one, path)
        begun: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                continue
            key = self._key(key_node)
            if key in begun:
                first = _mark(begun[key].start_mark)[0]
                raise self._fault(
                    key_node, f"the key {key} is given twice, first on line {first}",
                    "keep one of the two, with everything under it",
                )  # fmt: skip
            begun[key] = key_node
            out[key] = self.of(value_node, (*path, key), key_node)
        return out

    def _merged(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        """Return the mappings of a merge key (`<<`)."""
        self._seen += 1
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(one, yaml.MappingNode) or id(one) in self._open:
                raise self._fault(node, "`<<` needs a mapping", "give it the alias of a mapping")
            yield one

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._fault(
                node, "a key that isn't text", "put it, or all of `{{ … }}`, in quotes"
            )
        if node.tag != f"{_TAG}str":
            kind = _KINDS.get(node.tag.removeprefix(_TAG), node.tag)
            raise self._fault(
                node, f"the key {node.value} is read as {kind}, not as text", "put it in quotes"
            )
        odd = [c for c in node.value if c != " " and unicodedata.category(c)[0] in "ZC"]
        if odd:
            raise self._fault(
                node, f"the key {node.value!a} holds the invisible character U+{ord(odd[0]):04X}",
                "retype the key",
            )  # fmt: skip
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> JsonValue:
        text, plain = str(node.value), node.style is None
        if node.tag != self._resolve(yaml.ScalarNode, text, (plain, not plain)):
            raise self._tagged(node)
        kind = node.tag.removeprefix(_TAG)
        if kind == "int":
            if len(text) > _MOST_DIGITS:
                raise self._fault(node, f"a number of {len(text)} digits", "write a smaller one")
            if _LEADING_ZERO.fullmatch(text):
                raise self._fault(
                    node, f"{text} has a leading zero, which some readers take for octal",
                    f"write {int(text)}, or put it in quotes if it is text",
                )  # fmt: skip
            return int(text, 0)
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if kind == "bool":
            return text.lower() == "true"
        if kind == "null":
            return None
        # JSON writes a character beyond U+FFFF as two escapes.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _tagged(self, node: yaml.Node) -> UsageError:
        tag = node.tag.replace(_TAG, "!!")
        return self._fault(node, f"the tag {tag} isn't supported", "write plain YAML, no tags")

    def _fault(self, node: yaml.Node, what: str, hint: str) -> UsageError:
        return UsageError(f"{_at(self._name, _mark(node.start_mark))}: {what}", hint)
