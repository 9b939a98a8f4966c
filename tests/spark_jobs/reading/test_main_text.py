"""The main text of pages: what stands around it goes, none of it is lost, time is bounded."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading import main_text, markup
from headrace.spark_jobs.reading.main_text import extract

EN = [
    "The river bends south of the old mill, and the road follows it for three miles to the bridge.",
    "Farmers bring their grain there in autumn and wait for the ferry when the water is high.",
    "In winter the path is closed, and only the post cart still goes from the mill to the town.",
]
ZH = [
    "河水在老磨坊以南拐了个弯，公路沿着河岸走三里才到桥头，桥头有一家卖茶水的小店。",
    "秋天农民把粮食运到那里，水涨的时候就等渡船，有时候要等上整整一个下午才能过河。",
    "冬天小路封了，只有邮车还从磨坊开到镇上去，车夫总会在半路上停下来喝一碗热汤。",
]
AROUND = {
    "en": ("Home", "Sign in", "We use cookies to make this site work", "All rights reserved"),
    "zh": ("首页", "登录", "本网站使用 Cookie 以改善您的体验", "版权所有 未经授权禁止转载"),
}
LAYOUTS = [
    "<nav><a href=/>{0}</a> <a href=/i>{1}</a></nav><main><article>{body}</article></main>"
    "<div id=cookie-banner><p>{2}</p><button>OK</button></div><footer>{3}</footer>",
    "<div id=header><ul class=menu><li><a href=/>{0}</a><li><a href=/i>{1}</a></ul></div>"
    "<div id=content>{body}</div><div class=cookie-consent>{2}</div><div id=footer>{3}</div>",
    "<header role=banner><a href=/>{0}</a><a href=/i>{1}</a></header><div class=post-content>{body}"
    "</div><div role=dialog class=gdpr>{2}</div><div role=contentinfo>{3}</div>",
]


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
@pytest.mark.parametrize(("lang", "paragraphs"), [("en", EN), ("zh", ZH)])
def test_navigation_footers_and_consent_go(layout: int, lang: str, paragraphs: list[str]) -> None:
    body = "".join(f"<p>{p}</p>" for p in paragraphs)
    page = f"<html><body>{LAYOUTS[layout].format(*AROUND[lang], body=body)}</body></html>"
    assert extract(page).text == "\n".join(paragraphs)


@pytest.mark.parametrize(
    "page",
    [
        "<p>short</p>",
        "<main>short</main>",
        "<div class=sidebar>short</div>",
        "<nav>short</nav>",
        "<footer><p>short</p></footer>",
        "<a href=x>short</a>",
        "<div class=comments><p>short</p></div>",
        "<form><fieldset><legend>short</legend></fieldset></form>",
        "<div style='display:none'>short</div>",
        "<table><tr><td>short</td></tr></table>",
        "short",
        "<aside>short",
    ],
)
def test_a_short_page_is_never_lost(page: str) -> None:
    assert extract(page).text == "short"


@pytest.mark.parametrize("frame", ["sidebar", "footer", "menu", "related", "comments", "banner"])
def test_text_in_an_element_with_a_misleading_name_is_kept(frame: str) -> None:
    body = "".join(f"<p>{p}</p>" for p in EN * 3)
    found = extract(f"<div id=main><p>A few words.</p><div class={frame}>{body}</div></div>").text
    assert found.count(EN[1]) == 3


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are given to the library."""
    monkeypatch.setattr(main_text, "SHORT", 0)
    monkeypatch.setattr(main_text, "CLEAN", 2)


@pytest.mark.parametrize("clean", [0.85, 2], ids=["all text", "library"])
def test_layout_of_what_is_kept(clean: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_text, "CLEAN", clean)
    monkeypatch.setattr(main_text, "SHORT", 0)
    body = "".join(f"<p>{p}</p>" for p in EN)
    code = "def f(x):\n    if x:\n\treturn  1"
    page = f"""<article>{body}<ul><li>first item</li><li>second item</li></ul>
      <table><tr><th>Year</th><th>Sum</th></tr><tr><td>2019</td><td>120</td></tr></table>
      <ol><li><p>run this:</p><pre><code>{code}</code></pre></li></ol>
      <pre><span class=k>for</span> <b>k</b> in y:\n        <i>print</i>(k)</pre>
      <dl><dt>Mill</dt><dd>A place where grain is ground</dd></dl></article>"""
    text = extract(page).text
    assert text.startswith("\n".join([*EN, "first item", "second item", "Year\tSum\n2019\t120"]))
    assert f"run this:\n{code}\n" in text
    assert "\nfor k in y:\n        print(k)\nMill\nA place where grain is ground" in text


@pytest.mark.usefixtures("library")
def test_letters_that_stand_in_for_spaces_never_show() -> None:
    first = chr(0x13000)
    page = f"<p>{EN[0]} {first}</p><pre>a\n  b{chr(0x13001)}</pre><p>{EN[1]}</p>"
    assert extract(page).text == f"{EN[0]} {first}\na\n  b{chr(0x13001)}\n{EN[1]}"


def test_the_title_is_no_text_of_the_page() -> None:
    found = extract(f"<title>Mill &amp; river</title><p>{EN[0]}</p>")
    assert (found.title, found.text, found.cut) == ("Mill & river", EN[0], False)


def test_a_page_over_the_bounds_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "".join(f"<p>{EN[0]} {k}</p>" for k in range(100))
    monkeypatch.setattr(main_text, "MAX_CHARACTERS", len(page))
    assert not extract(page).cut
    found = extract(page + "<p>beyond</p>")
    assert found.cut and found.text == extract(page).text


@pytest.mark.usefixtures("library")
def test_pages_out_of_bounds_are_not_given_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(page: str) -> str:
        raise AssertionError

    deep = "<div>" * 200 + EN[0] + "</div>" * 200
    assert extract(deep).text == EN[0]
    monkeypatch.setattr(main_text, "_library", fail)
    wide = "<p>x</p>" * (main_text.TREE_TAGS // 2 + 1)
    assert extract(wide).text.count("x") == main_text.TREE_TAGS // 2 + 1
    many = f"<p {' '.join(f'a{k}=1' for k in range(main_text.TREE_ATTRIBUTES + 1))}>text</p>"
    assert extract(many).text == "text"
    long = "<p>text</p>" + " " * main_text.TREE_CHARACTERS
    assert extract(long).text == "text"


@pytest.mark.usefixtures("library")
def test_a_fault_of_the_library_costs_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    import trafilatura

    def fail(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(trafilatura, "bare_extraction", fail)
    assert extract(f"<p>{EN[0]}</p>").text == EN[0]


BOUNDED = {
    "divs": "<div>text</div>" * 9_900,
    "unclosed": "<div>" * 19_000 + "text",
    "links": "<a href=x>word</a> " * 9_900,
    "cells": "<table>" + "<tr><td>a</td><td>b</td></tr>" * 3_300,
    "lists": ("<ul><li>x" * 70 + "</ul>" * 70) * 130,
    "tables": ("<table><tr><td>" * 40 + "x" + "</td></tr></table>" * 40) * 80,
    "articles": "<article><p>some text of an article</p></article>" * 4_900,
    "preformatted": "<pre>" + "a b c\n" * 300_000,
    "formatting": "".join(f"<b id={k}><p>x" for k in range(9_000)),
    "attributes": ("<p " + " ".join(f"a{k}=1" for k in range(199)) + ">text</p>") * 1_000,
    "one tag": "<p " + " ".join(f"a{k}=1" for k in range(100_000)) + ">text</p>",
    "comments": "<!-- " * 20_000,
    "entities": "&amp;" * 800_000,
    "deep": "<div>" * 100_000 + "text",
    "classes": "<div class='" + "nav menu " * 99_000 + "'>text</div>",
}


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", BOUNDED)
def test_no_page_takes_long(name: str) -> None:
    """Some seconds of CPU at most, whatever the page: a second on most machines."""
    extract("<p>load</p>")
    began = time.process_time()
    found = extract(BOUNDED[name])
    assert time.process_time() - began < 10
    assert found.text or name == "comments"


PARTS = [
    *(f"<p>{p}</p>" for p in EN + ZH), "<div>", "</div>", "<![foo[", "<!--", "<table><tr><td>",
    "</table>", "<ul><li>", "<a href=x>", "<pre>\n  x\n", "</pre>", "\0", "<svg>", "<form>",
    "<frameset>", "&#xd800;", "<p class='comment'>", "<br>",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=20))
def test_any_page_has_a_text_and_always_the_same(parts: list[str]) -> None:
    page = "".join(parts)
    found = extract(page)
    assert found == extract(page)
    assert "\0" not in found.text
    assert bool(found.text) == bool(markup.visible_text(page))
