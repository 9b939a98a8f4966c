"""Libraries that find the main text of a page: `pytest -m bench -s` with this file's name.

Every set is pages with their main text; precision and recall are of its 4-grams (of words, or of
Chinese characters), averaged over pages; CPU time is per MB of markup. Pages of ten layouts are made
here of the articles in HEADRACE_BENCH_DATA (JSON Lines files with `text`; without it the help texts of
Python). HEADRACE_BENCH_PAGES names folders, with `:` between them, each one of

- a clone of github.com/scrapinghub/article-extraction-benchmark (English news),
- a clone of github.com/GeneralNewsExtractor/GeneralNewsExtractor (Chinese news),
- an unpacked Debian package with documentation in HTML (Sphinx or DocBook).

`pip install resiliparse` first to see it beside the others.
"""

import gzip
import itertools
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from lxml import html as lxml_html

from headrace.spark_jobs.reading import main_text, markup

pytestmark = pytest.mark.bench
MOST_PAGES = 40
"""Of a package of documentation, at random."""


@dataclass(frozen=True)
class Sample:
    html: str
    main: str
    lang: str


# Libraries


def trafilatura(page: str, lang: str) -> str:
    import trafilatura

    return trafilatura.extract(page, fast=True, include_comments=False, favor_recall=True) or ""


def resiliparse(page: str, lang: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(page, main_content=True, alt_texts=False, comments=False))


def justext(page: str, lang: str) -> str:
    import justext

    if lang == "zh":  # it has no Chinese stop words: lengths alone decide
        parts = justext.justext(page.encode(), frozenset(), 20, 60, 0, 0, encoding="utf-8")
    else:
        words = justext.get_stoplist("English")
        parts = justext.justext(page.encode(), words, encoding="utf-8")
    return "\n".join(part.text for part in parts if not part.is_boilerplate)


METHODS: dict[str, Callable[[str, str], str]] = {
    "headrace": lambda page, lang: main_text.extract(page).text,
    "trafilatura": trafilatura,
    "resiliparse": resiliparse,
    "jusText": justext,
    "all visible text": lambda page, lang: markup.visible_text(page),
}


# Pages

_WORDS = {
    "en": ("Home", "World news", "Sport", "Subscribe to our newsletter", "Read more", "Related stories",
           "We use cookies to improve your experience. Accept all", "Share on Facebook", "Sign in",
           "Copyright 2024 Example Media. All rights reserved. Terms of use and privacy policy",
           "Most popular this week", "Five things to know about the weather"),
    "zh": ("首页", "国际新闻", "体育频道", "订阅我们的邮件通讯", "阅读全文", "相关新闻推荐",
           "本网站使用 Cookie 以改善您的体验，继续浏览即表示您同意", "分享到微信朋友圈", "登录注册",
           "版权所有 示例传媒有限公司 京ICP备12345678号 未经授权禁止转载", "本周热门排行榜", "关于天气您应当知道的五件事"),
}  # fmt: skip


def _layouts(title: str, paragraphs: list[str], lang: str) -> Iterator[str]:
    """The same article on pages as sites are built."""
    home, world, sport, letter, more, related, cookies, share, login, rights, popular, five = _WORDS[lang]  # fmt: skip
    menu = "".join(
        f'<li><a href="/{k}">{w}</a></li>' for k, w in enumerate((home, world, sport, login))
    )
    teasers = "".join(f'<li><a href="/n/{k}">{five}</a></li>' for k in range(8))
    body = "".join(f"<p>{p}</p>\n" for p in paragraphs)
    yield f"""<!doctype html><html><head><title>{title}</title></head><body><header><nav><ul>{menu}</ul></nav>
      </header><main><article><h1>{title}</h1>{body}</article><aside><h2>{related}</h2><ul>{teasers}</ul></aside>
      </main><footer><p>{rights}</p></footer><dialog id="cookie-consent"><p>{cookies}</p></dialog></body></html>"""
    yield f"""<html><body><div id="header"><div id="nav"><ul>{menu}</ul></div></div><div id="content"><h1>{title}</h1>
      {body}</div><div id="sidebar"><h3>{popular}</h3><ul>{teasers}</ul></div><div id="footer">{rights}</div>
      <div class="cookie-notice"><span>{cookies}</span></div></body></html>"""
    yield f"""<html><body><nav class="navbar navbar-expand"><a href=/>{home}</a><a href=/w>{world}</a></nav>
      <ol class="breadcrumb"><li>{home}</li><li>{world}</li></ol><div class="container"><div class="row">
      <div class="col-md-8"><h2>{title}</h2>{body}<div class="share-buttons"><a href=x>{share}</a></div></div>
      <div class="col-md-4"><div class="card"><h5>{popular}</h5><ul>{teasers}</ul></div></div></div></div>
      <div class="footer-bottom"><small>{rights}</small></div></body></html>"""
    yield f"""<html><body class="single"><header class="site-header"><ul class="menu">{menu}</ul></header>
      <div class="content-area"><h1 class="entry-title">{title}</h1><div class="entry-content">{body}</div>
      <div class="sharedaddy"><a href=f>{share}</a></div></div><div class="widget-area"><h2>{popular}</h2>
      <ul>{teasers}</ul><p>{letter}</p></div><div class="site-footer">{rights}</div>
      <div id="cookie-law-info-bar"><span>{cookies}</span></div></body></html>"""
    spaced = "".join(f"<p>\u3000\u3000{p}</p>" for p in paragraphs)
    yield f"""<html><body><div class="top_nav"><a href=/>{home}</a> | <a href=/w>{world}</a> | <a href=/s>{sport}</a></div>
      <div class="wrap"><div class="left"><h1>{title}</h1><div class="article" id="artibody">{spaced}</div>
      </div><div class="right"><div class="hot_list"><h3>{popular}</h3><ul>{teasers}</ul></div></div></div>
      <div class="copyright">{rights}</div></body></html>"""
    broken = "<br><br>".join(paragraphs)
    cells = "".join(f"<td><a href={k}>{w}</a></td>" for k, w in enumerate((home, world, sport)))
    yield f"""<html><body><table width=960><tr>{cells}</tr></table><table width=960><tr><td width=200>
      <ul>{teasers}</ul></td><td><font size=5><b>{title}</b></font><br><br><font size=3>{broken}</font></td></tr>
      </table><table width=960><tr><td align=center>{rights}</td></tr></table></body></html>"""
    posts = "".join(
        f'<div class="post"><div class="post-body"><p>{p}</p></div></div>' for p in paragraphs
    )
    yield f"""<html><body><div class="navbar"><ul>{menu}</ul></div><div class="thread"><h1>{title}</h1>{posts}</div>
      <div class="footer">{rights}</div></body></html>"""
    yield f"""<html><body><div class="related" role="navigation"><ul>{menu}</ul></div><div class="document">
      <div class="body" role="main"><section><h1>{title}</h1>{body}</section></div></div>
      <div class="sphinxsidebar" role="navigation"><h3>{popular}</h3><ul>{teasers}</ul></div>
      <div class="footer" role="contentinfo">{rights}</div></body></html>"""
    spans = "".join(f"<section><span>{p}</span></section>" for p in paragraphs)
    yield f"""<html><body><div class="rich_media"><h1 class="rich_media_title">{title}</h1>
      <div id="js_content">{spans}</div></div><div class="rich_media_tool"><a href=x>{more}</a></div>
      <div class="qr_code">{share}</div></body></html>"""
    yield f"""<html><body><ul>{menu}</ul><h1>{title}</h1>{body}<hr><address>{rights}</address></body></html>"""


def _articles() -> list[tuple[str, str]]:
    """(text, language) of articles with at least three paragraphs."""
    folder = os.environ.get("HEADRACE_BENCH_DATA")
    if folder is None:
        return [(text, "en") for _, text in sorted(topics.items())]
    found = []
    for path in sorted(Path(folder).rglob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            texts = [json.loads(line).get("text") or "" for line in itertools.islice(lines, 3000)]
        found += random.Random(1).sample(texts, min(200, len(texts)))
    random.Random(1).shuffle(found)
    return [(text, _language(text)) for text in found if 500 < len(text) < 6000]


def _language(text: str) -> str:
    return "zh" if len(re.findall("[一-鿿]", text)) > 0.1 * len(text) else "en"


def made_pages() -> Iterator[tuple[str, Sample]]:
    count: Counter[str] = Counter()
    for text, lang in _articles():
        text = re.sub(r"[<>&]", " ", text)
        parts = re.split(r"\n+|(?<=[。！？])" if lang == "zh" else r"\n\s*\n|\n", text)
        parts = [" ".join(p.split()) for p in parts if p.strip()]
        if lang not in _WORDS or len(parts) < 4 or count[lang] == 20:
            continue
        count[lang] += 1
        title, paragraphs = parts[0][:60], parts[1:]
        for page in _layouts(title, paragraphs, lang):
            yield f"made, {lang}", Sample(page, "\n".join([title, *paragraphs]), lang)


def _news_en(folder: Path) -> Iterator[Sample]:
    for name, page in json.loads((folder / "ground-truth.json").read_text()).items():
        raw = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
        yield Sample(raw.decode("utf-8", "replace"), page["articleBody"], "en")


def _news_zh(folder: Path) -> Iterator[Sample]:
    found = re.finditer(
        r">{13}(.*?)>{13}\n(.*?)\n<{20,}", (folder / "result.txt").read_text(), re.S
    )
    for match in found:
        if (path := folder / match[1]).exists():
            yield Sample(path.read_text("utf-8", "replace"), json.loads(match[2])["content"], "zh")


_AROUND = (
    '//head|//script|//style|//*[contains(@class,"navheader") or contains(@class,"navfooter") or'
    ' contains(@class,"docnav")]|//p[@id="title"]|//a[@class="headerlink"]|//div[@id="navigation"]'
)


def _documentation(folder: Path) -> Iterator[Sample]:
    paths = [
        p for p in sorted(folder.rglob("*.htm*")) if p.is_file() and p.stat().st_size < 400_000
    ]
    for path in random.Random(1).sample(paths, min(MOST_PAGES, len(paths))):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        parser = lxml_html.HTMLParser(encoding="utf-8")
        root: Any = lxml_html.document_fromstring(raw, parser=parser)
        for element in root.xpath(_AROUND):
            element.drop_tree()
        main = (root.xpath('//div[@role="main"]') or [root])[0].text_content()
        if len(main) > 100:
            yield Sample(raw.decode("utf-8", "replace"), main, _language(main))


def given_pages() -> Iterator[tuple[str, Sample]]:
    for name in filter(None, os.environ.get("HEADRACE_BENCH_PAGES", "").split(":")):
        folder = Path(name)
        if (folder / "ground-truth.json").exists():
            read = _news_en
        else:
            read = _news_zh if (folder / "result.txt").exists() else _documentation
        for sample in read(folder):
            yield f"{folder.name}, {sample.lang}", sample


# Measures


def grams(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"[\u3400-\u9fff]|\w+", text)
    size = max(1, min(4, len(words)))
    return Counter(tuple(words[k : k + size]) for k in range(len(words) - size + 1))


def test_main_text() -> None:
    sets: dict[str, list[Sample]] = {}
    for name, sample in [*made_pages(), *given_pages()]:
        sets.setdefault(name, []).append(sample)
    print("\n| pages | method | precision | recall | pages with less than half | CPU ms per MB |")
    print("|---|---|---|---|---|---|")
    recall = {}
    for name, samples in sets.items():
        size = sum(len(s.html.encode()) for s in samples) / 1e6
        for method, extract in METHODS.items():
            try:
                extract(samples[0].html, samples[0].lang)  # loads it
            except ImportError:
                continue
            begun = time.process_time()
            texts = [extract(s.html, s.lang) for s in samples]
            spent = (time.process_time() - begun) / size * 1000
            pairs = [(grams(text), grams(s.main)) for text, s in zip(texts, samples, strict=True)]
            common = [(a & b).total() for a, b in pairs]
            p = [c / max(1, a.total()) for c, (a, _) in zip(common, pairs, strict=True)]
            r = [c / max(1, b.total()) for c, (_, b) in zip(common, pairs, strict=True)]
            recall[name, method] = sum(r) / len(r)
            print(
                f"| {name} ({len(samples)}) | {method} | {sum(p) / len(p):.3f}"
                f" | {sum(r) / len(r):.3f} | {sum(x < 0.5 for x in r)} | {spent:.0f} |",
                flush=True,
            )
    assert all(recall[name, "headrace"] >= recall[name, "trafilatura"] - 0.01 for name in sets)
