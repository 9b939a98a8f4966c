from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, UndefinedError

from headrace.infra import html

SCRIPT = "<script>alert(1)</script>"
EVERY_PART = """
{% from "parts.html.j2" import excerpt, figure, section, table, tile with context %}
{% call section(text) %}
{{ tile(text, text, text) }}{{ table([text], [[text]], text) }}{{ figure("", text) }}
{{ excerpt(text) }}<p>{{ text }}: {{ [text, text] | join("; ") }} {{ text ~ text }}</p>
{% endcall %}
"""
MANY = """
{% from "parts.html.j2" import section with context %}
{% for n in range(3) %}{% call section("Title") %}<p>x</p>{% endcall %}{% endfor %}
{% for name in "abcde" %}{% call section(name) %}<p>x</p>{% endcall %}{% endfor %}
"""
WITHIN = '{% with part = "Release <1>" %}{% include "title" %}{% endwith %}{% include "title" %}'
TITLE = """
{% from "parts.html.j2" import section with context %}
{% call section("What Came") %}{% endcall %}
"""


@pytest.fixture(autouse=True, scope="module")
def templates() -> Iterator[None]:
    """Templates of the tests beside those of the package."""
    environment = html._environment()
    names = [p.name for p in (resources.files("headrace.infra") / "templates").iterdir()]
    sources = {name: html._template(name) for name in names}
    before, environment.loader = (
        environment.loader,
        DictLoader(sources | {"every": EVERY_PART, "many": MANY, "within": WITHIN, "title": TITLE}),
    )
    yield
    environment.loader = before


@given(st.text(max_size=30))
def test_all_text_is_escaped_and_visible(text: str) -> None:
    made = html.page("every", text + SCRIPT, text + SCRIPT, text=f"{text}\x1b{SCRIPT}\u202e")
    assert "<script" not in made and made.count("&lt;script&gt;") == 17
    assert "\x1b" not in made and "\u202e" not in made and r"\x1b" in made


def test_a_value_that_a_page_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        html.page("every", "title", "")


def test_a_long_page_has_links_to_its_parts() -> None:
    made = html.page("many", "title", "")
    assert '<a href="#s0">Title</a> · <a href="#s3">a</a>' in made
    assert made.count("<h2 ") == 8 and made.count("<a ") == 6
    assert "<nav>" not in html.page("title", "title", "")


def test_a_report_within_another_has_its_name_before_its_titles() -> None:
    made = html.page("within", "title", "")
    assert '<h2 id="s0">Release &lt;1&gt;: what Came</h2>' in made
    assert '<h2 id="s1">What Came</h2>' in made


def test_numbers_stand_to_the_right_with_the_decimals_of_their_column() -> None:
    made = html.as_table([[1234, 0.5, "x"], [None, 123.456, 1.25]], 3)
    assert made.rows == [("1,234", "0.5", "x"), ("-", "123.5", "1.250")]
    assert [bool(a) for a in made.attributes] == [True, True, False]
    assert html.as_table([], 2).rows == []


def test_values_are_written_for_a_person() -> None:
    shown = [html.cell(x) for x in (0.123456, None, True, 12345.6, "a\nb")]
    assert shown == ["0.1235", "-", "yes", "12,346", r"a\nb"]
    assert html.toned("<b>", "bad") == '<span class="bad">&lt;b&gt;</span>'


def test_an_excerpt_is_the_beginning_of_a_text() -> None:
    assert html.beginning("a\n<b>" + "x" * 700, 6) == "a\n&lt;b&gt;x …"
