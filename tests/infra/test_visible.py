import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.infra.visible import json_line, markdown, markdown_code, visible, visible_text

ANY = st.text(st.characters(exclude_categories=[]), max_size=60)
FORGED = [
    ("a\nerror: forged", r"a\nerror: forged"),
    ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
    ("\x9b31m", r"\x9b31m"),
    ("name\r", r"name\r"),
    ("invoice\u202egpj.exe", r"invoice\u202egpj.exe"),
    ("\u2066x\u2069", r"\u2066x\u2069"),
    ("line\u2028separator", r"line\u2028separator"),
    (b"\xd3\xef.jsonl".decode("utf-8", "surrogateescape"), r"\xd3\xef.jsonl"),
    ("\ud83d alone", r"\ud83d alone"),
    ("tag\U000e0041", r"tag\U000e0041"),
    ("zero\u200bwidth", r"zero\u200bwidth"),
    ("plain 正常 naïve 👩\u200d👩\u200d👧", "plain 正常 naïve 👩\u200d👩\u200d👧"),
]


@pytest.mark.parametrize(("text", "shown"), FORGED)
def test_untrusted_text_is_shown_with_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY)
def test_shown_text_is_one_line_without_controls(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")


@given(ANY)
def test_text_of_several_lines_keeps_its_lines_only(text: str) -> None:
    shown = visible_text(text)
    assert shown.count("\n") == text.count("\n")
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") for c in shown)


@given(st.dictionaries(ANY, ANY | st.integers() | st.none(), max_size=4))
def test_a_json_line_is_safe_and_holds_the_same_value(value: dict[str, object]) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert visible(line) == line


def test_long_text_is_cut() -> None:
    assert visible("x" * 50, 10) == "x" * 10 + "…"


@pytest.mark.parametrize(
    "text", ["a|b", "[x](http://y)", "<img src=x>", "![](x)", "`code`", "a*b_c"]
)
def test_markdown_shows_text_as_it_stands(text: str) -> None:
    import mistune

    page = mistune.create_markdown(plugins=["table"])(f"| {markdown(text)} |\n|---|\n| 1 |\n")
    assert isinstance(page, str)
    assert "<a" not in page and "<img" not in page and "<code" not in page and "<em" not in page
    assert page.count("<th") == 2  # thead and one cell
    code = mistune.create_markdown()(f"- {markdown_code(text)}")
    assert isinstance(code, str)
    assert code.count("<code>") == 1 and "<a" not in code and "<img" not in code
