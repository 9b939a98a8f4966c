"""YAML of users: what is read, and what is refused with line, column and what to write instead."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.configuration.config_file import parse, read_config
from headrace.infra.errors import UsageError

REFUSED = [
    ("semantics:\n\tthreshold: 1", "line 2, column 1: a tab", "spaces"),
    ("a: 1\n\tb: 2", "line 2, column 1: a tab", "spaces"),
    ("a:\t1", "line 1, column 3: a tab", "spaces"),
    ("a: 0.5\t# note", "line 1, column 7: a tab", "spaces"),
    ("a: 1\nb: 2\na: 3", "line 3, column 1: the key a is given twice, first on line 1", "one of"),
    ("s:\n  t: 1\n  u: 2\n  t: 1", "line 4, column 3: the key t is given twice", "one of the two"),
    ("l:\n- {a: 1, a: 2}", "line 2, column 10: the key a is given twice", "one of the two"),
    ('{"a": 1,\n "a": 2}', "line 2, column 2: the key a is given twice", "one of the two"),
    ("'a': 1\n\"a\": 2", "line 2, column 1: the key a is given twice", "one of the two"),
    ("a: {{ x }}", "line 1, column 5: a key that isn't text", "quotes"),
    ("? [a]\n: 1", "line 1, column 3: a key that isn't text", "quotes"),
    ("true: 1", "line 1, column 1: the key true is read as a truth value", "quotes"),
    ("1: x", "line 1, column 1: the key 1 is read as a number", "quotes"),
    ("null: x", "the key null is read as nothing", "quotes"),
    ("seed: 010", "line 1, column 7: 010 has a leading zero", "write 10"),
    ("a: !!python/object/apply:os.system ['true']", "line 1, column 4: the tag", "no tags"),
    ("a: !!int x", "line 1, column 4: the tag !!int", "no tags"),
    ("a: !own {b: 1}", "line 1, column 4: the tag !own", "no tags"),
    ("a: 1\n---\nb: 2", "line 2, column 1: a second document", "only one"),
    ("a: 'x\nb: 1", "line 1, column 4: a quotation mark that isn't closed", "close"),
    ("a: [1\nb: 2", "line 1, column 4: a bracket that isn't closed", "close"),
    ("a: {b: 1", "line 1, column 4: a bracket that isn't closed", "close"),
    ("a: b: c", "line 1, column 5: a `key: value` where none can be", "indentation"),
    ("a: 1\n  b: 2", "line 2, column 4: a `key: value` where none can be", "indentation"),
    ("a:\n  b: 1\n c: 2", "line 3, column 2: indentation that fits no line", "indent"),
    ("- 1\na: 2", "line 2, column 1: a `key: value` in a list", "- "),
    ("a: *x", "line 1, column 4: an unknown alias", "quotes"),
    ("a: @x", "line 1, column 4: text that begins with a character", "quotes"),
    ("a: %x", "line 1, column 4: text that begins with a character", "quotes"),
    ("a: &x [*x]", "too many values", "aliases"),
    ("a: &x {<<: *x}", "`<<` needs a mapping", "alias"),
    ("a: 1\n\u00a0b: 2", "line 2, column 1: the key '\\xa0b' holds the invisible character U+00A0",
     "retype"),
    ("sem\u200bantics: 1", "invisible character U+200B", "retype"),
    ("a: 1\nb: \x01", "line 2, column 4: the character U+0001", "remove it"),
    ("a: " + "9" * 50, "a number of 50 digits", "smaller"),
    ("[" * 3000, "nested too deeply", "fewer"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said", "hint"), REFUSED)
def test_doubtful_yaml_is_refused_with_line_and_column(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text, "c.yaml")
    assert error.value.message.startswith("c.yaml")
    assert said in error.value.message and hint in error.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("n", "n"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("1e-4", 1e-4), ("1E5", 1e5), ("5e-4", 5e-4), (".5", 0.5), ("1.", 1.0), ("-0.5", -0.5),
        ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"), ("0x1f", 31), ("0o17", 15), ("+3", 3), ("-7", -7), ("0", 0),
        ("'010'", "010"), ("=", "="), ("local[2]", "local[2]"), ("3g", "3g"), ("0.5.1", "0.5.1"),
        ("s3://a/b#c", "s3://a/b#c"), ('"\\ud83d\\ude00"', "😀"), ('"\\ud83d"', "\ufffd"),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_2_and_json_have_them(text: str, value: object) -> None:
    (found, places) = parse(f"a: {text}", "x")
    assert found == {"a": value} and type(found["a"]) is type(value)
    assert places["a",].value[0] == 1


KEYS = st.from_regex(r"[a-z][a-z_ -]{0,8}[a-z]", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(KEYS, JSON, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_json_has_it(tmp_path_factory: pytest.TempPathFactory, value: object,
                                     indent: str | int | None) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("json") / "c.json"
    path.write_text(json.dumps(value, indent=indent))
    assert read_config(path).data == value


@given(st.dictionaries(KEYS, JSON, max_size=4), st.booleans())
def test_what_pyyaml_writes_is_read_back(value: object, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow)
    assert parse(text, "x")[0] == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    refused: UsageError | None = None
    try:
        parse(text, "x")
    except UsageError as error:
        refused = error
    assert refused is None or (refused.message.startswith("x") and refused.hint)


def test_places_are_those_of_keys_and_values() -> None:
    _, places = parse("a:\n  b: no\nc: [1,\n  {d: x}]\n", "x")
    assert (places["a", "b"].key, places["a", "b"].value) == ((2, 3), (2, 6))
    assert places["a", "b"].plain == "no" and places["c",].plain is None
    assert places["c", 1, "d"].value == (4, 7)


def test_merge_keys_yield_to_own_keys_and_to_earlier_ones() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {b: 3, <<: [*x, *y]}\nw: {<<: *y, <<: *x}\n"
    value: Any = parse(text, "x")[0]
    assert value["z"] == {"a": 1, "b": 3, "c": 2} and value["w"] == {"a": 1, "b": 2, "c": 2}


def test_aliases_of_aliases_fill_no_memory() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join(['*' + a] * 10)}]" for a, b in zip("abcdef", "bcdefg", strict=True)
    ]
    with pytest.raises(UsageError, match="too many values"):
        parse("\n".join(lines), "x")


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        (b"seed:7", "not a mapping", "a space after the colon"),
        ("seed\uff1a7".encode(), "not a mapping", "ASCII colon"),
        (b"- 1", "not a mapping", "key: value"),
        (b"3", "not a mapping", "key: value"),
        (b"a: 1\nb: \xff", "line 2: not UTF-8", "UTF-8"),
        ("a: 1".encode("utf-16"), "line 1: not UTF-8", "UTF-8"),
    ],
)
def test_a_file_that_holds_no_settings(tmp_path: Path, data: bytes, said: str, hint: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as error:
        read_config(path, "--config")
    assert error.value.message.startswith(f"--config {path}")
    assert said in error.value.message and hint in error.value.hint


def test_a_file_with_nothing_in_it_sets_nothing(tmp_path: Path) -> None:
    for text in ("", "# note\n", "null", "\ufeff", "{}", "---\n"):
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        assert read_config(tmp_path / "c.yaml").data == {}
    assert read_config(None).data == {}


def test_a_section_has_the_places_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("list:\n  - x\n  - in: {a: 1}\n")
    inside = read_config(path).section("list", 1, "in")
    assert inside.data == {"a": 1} and inside.at(("a",)) == f"{path}, line 3, column 13"
    assert inside.at(("a", "none")) == inside.at(("a",))
    nothing = read_config(path).section("list", 5, "in")
    assert nothing.data == {} and nothing.at(("a",)) == str(path)
