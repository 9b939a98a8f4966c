"""Blocks of a page: what is text, where it ends, and that no page takes more than linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading import markup
from headrace.spark_jobs.reading.markup import read, visible_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one <b>bold</b>\n word</p><p>two</p>", "one bold word\ntwo"),
        ("<style>p{}</style><script>if(a<b)x()</script>seen", "seen"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("&lt;tag&gt; &#20013;&nbsp;x", "<tag> 中 x"),
        ("<p>open <script>never closed", "open"),
        ("</script>after", "after"),
        ("", ""),
        ("a < b and c <d> e <3", "a < b and c e <3"),
        ("a<!-- no --> b<!-->c<!--->d", "a bcd"),
        ("<p>a<!-- never closed <p>b", "a"),
        ("<![CDATA[x]]>y<?php z ?>w<!doctype html>", "yw"),
        ("<a title='a>b' href=x>link</a>", "link"),
        ("<SCRIPT>x</ScRiPt >y", "y"),
        ("<script>'</scripts>'</script>y", "y"),
        ("<noscript><p>no</p></noscript><template><p>no</p></template>y", "y"),
        ("<svg><text>no</text></svg>y<svg/>z", "yz"),
        ("<svg>never closed", "never closed"),
        ("x\0y&#0;", "xy\ufffd"),
        ("<p>漢<rp>(</rp><rt>kan</rt><rp>)</rp></p>", "漢(kan)"),
        ("<title>no</title>y", "y"),
    ],
)
def test_what_is_text(html: str, text: str) -> None:
    assert visible_text(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<table><tr><th>Year</th><th>Sum</th></tr><tr><td>2019<td>120</table>",
         "Year\tSum\n2019\t120"),
        ("<table><tr><td> <td>x<td></table>", "x"),
        ("<dl><dt>Mill</dt><dd>A place</dd><dt>Ferry<dd>A boat</dl>",
         "Mill\nA place\nFerry\nA boat"),
        ("<select><option>One<option>Two</select><button>Send</button><button>Stop</button>",
         "One\nTwo\nSend\nStop"),
        ("<main>Main</main><aside>Side</aside><figure><figcaption>Cap</figcaption></figure>end",
         "Main\nSide\nCap\nend"),
        ("<h1>Head</h1>text<br>line<hr>rule", "Head\ntext\nline\nrule"),
        ("<fieldset><legend>L</legend><label>N</label><input><textarea>a <b></textarea></fieldset>",
         "L\nN\na <b>"),
        ("<details><summary>S</summary>D</details>", "S\nD"),
        ("one<span>two</span>", "onetwo"),
        ("<ol><li><p>a</p><p>b</p></li></ol>", "a\nb"),
    ],
)  # fmt: skip
def test_cells_items_options_and_blocks_stay_apart(html: str, text: str) -> None:
    assert visible_text(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>def f():\n    return 1</pre>", "def f():\n    return 1"),
        ("<pre>\n\n  a\r\n\tb  \n\n\nc\n</pre>x", "  a\n\tb\n\n\nc\nx"),
        ("<pre>a<br>  b</pre>", "a\n  b"),
        ("<pre><span>if</span> x:\n<b>    y</b></pre>", "if x:\n    y"),
        ("<pre>a\n b &lt;c&gt;", "a\n b <c>"),
        ("<pre>a\n b</pre><p>c\n d</p>", "a\n b\nc d"),
    ],
)
def test_preformatted_text_keeps_its_lines(html: str, text: str) -> None:
    assert visible_text(html) == text


@pytest.mark.parametrize(
    "around",
    [
        "<nav>X</nav>",
        "<footer><div>X</div></footer>",
        "<aside><aside>X</aside>X</aside>",
        "<div role='navigation'>X</div>",
        "<div ROLE=Banner class=a><div>X</div></div>",
        "<div id='cookie-banner'>X</div>",
        "<section class='site_cookies_notice'>X</section>",
        "<ul class=breadcrumb><li>X</ul>",
        "<div hidden>X</div>",
        "<div style='color:red; display: none'>X</div>",
    ],
)
def test_what_says_that_it_stands_around_the_text(around: str) -> None:
    page = read(f"<p>before</p>{around}<p>after</p>")
    assert [(b.text, b.around) for b in page.blocks if b.text != "X"] == [
        ("before", False),
        ("after", False),
    ]
    assert all(b.around for b in page.blocks if b.text == "X") and len(page.blocks) >= 3


def test_an_element_that_never_ends_takes_nothing_with_it() -> None:
    page = read("<nav><a href=x>Home</a><p>text</p>")
    assert [b.around for b in page.blocks] == [False, False]


def test_characters_of_links_are_counted() -> None:
    page = read("<p>ab <a href=x>c d</a> e</p><p><a name=y>no link</a></p>")
    assert [b.links for b in page.blocks] == [2, 0]
    assert read("<title> A \n B </title>").title == "A B"


HOSTILE = {
    "comments": "<!-- ",
    "bogus": "<![foo[",
    "tags": "<a ",
    "quotes": "<a b='<a b=\"",
    "less": "<",
    "ends": "</",
    "entities": "&amp;",
    "ampersands": "&",
    "divs": "<div>",
    "formatting": "<b id=1><p>",
    "tables": "<table><tr><td>",
    "links": "<a href=x>",
    "raw": "<svg>",
    "scripts": "<script>",
    "attributes": "<p a=",
    "equals": "=' =\"",
    "nav": "<nav>",
    "spaces": " \n",
    "nul": "\0",
    "pre": "<pre>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_markup_takes_linear_time(name: str) -> None:
    def seconds(times: int) -> float:
        page = "<p " + HOSTILE[name] * times if name == "attributes" else HOSTILE[name] * times
        page += "=\">'"
        began = time.process_time()
        read(page)
        return time.process_time() - began

    seconds(1000)
    few = min(seconds(5_000) for _ in range(3))
    many = min(seconds(40_000) for _ in range(2))
    assert many < 8 * 4 * few + 0.05  # quadratic time would be 64 times as long


def test_a_page_of_too_many_tags_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MAX_TAGS", 100)
    page = read("<p>x" * 200)
    assert page.cut and len(page.blocks) == 100 and not read("<p>x" * 100).cut


PARTS = [
    *HOSTILE.values(), "x ", "</p>", "-->", "]]>", ">", "'", '"', "<td>", "</pre>", "</svg>",
    "</script>", "<br>", "中", "</nav>", "=", "/>", "<textarea>",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=40))
def test_any_markup_is_read(tokens: list[str]) -> None:
    page = read("".join(tokens))
    assert page == read("".join(tokens))
    for block in page.blocks:
        assert block.text.strip() and 0 <= block.links <= markup.solid(block.text)
        assert "\0" not in block.text
