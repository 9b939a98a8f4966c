"""Self-contained HTML pages: every report of headrace is made of these parts.

All text is escaped and all of it is visible; nothing is loaded from outside; plots are inline SVG,
the same bytes for the same data.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from headrace.infra.visible import visible, visible_text

PALETTE = {
    "ink": "#1f2933",
    "muted": "#6b7785",
    "line": "#d9dee5",
    "blue": "#2f6fb3",
    "green": "#2e8b57",
    "red": "#c0392b",
    "amber": "#c98a1b",
    "violet": "#7a5aa6",
    "teal": "#2a8c93",
    "grey": "#9aa5b1",
}
CYCLE = ("blue", "amber", "green", "red", "violet", "teal", "grey")

_CSS = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:15px/1.55 system-ui,"Noto Sans","Noto Sans CJK SC","PingFang SC",sans-serif;
color:#1f2933;background:#fff;margin:0 auto;max-width:1080px;padding:28px 24px 60px}
h1{font-size:26px;margin:0 0 2px}h2{font-size:19px;margin:38px 0 10px;
border-bottom:1px solid #d9dee5;padding-bottom:5px}h3{font-size:15px;
margin:20px 0 6px}.sub{color:#6b7785;margin:0 0 18px}
table{border-collapse:collapse;margin:10px 0 4px;font-size:14px;max-width:100%}
th,td{padding:4px 14px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid #eef1f4}
th{color:#6b7785;font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
caption{caption-side:bottom;text-align:left;color:#6b7785;font-size:13px;padding-top:4px}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:14px 0}.tile{border:1px solid #d9dee5;
border-radius:8px;padding:10px 16px;min-width:150px}.tile b{display:block;font-size:21px}
.tile span{color:#6b7785;font-size:13px;display:block}figure{margin:14px 0}
figure svg{max-width:100%;height:auto}figcaption{color:#6b7785;font-size:13px}
.excerpt{background:#f6f8fa;border-left:3px solid #d9dee5;padding:6px 10px;margin:5px 0;
white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px;max-height:11em;overflow:auto}
.good{color:#2e8b57;font-weight:600}.bad{color:#c0392b;font-weight:600}.muted{color:#6b7785}
nav{font-size:14px}nav a{color:#2f6fb3;text-decoration:none}
details{margin:6px 0}summary{cursor:pointer}
"""


def colour(name: str) -> str:
    """A colour of the palette by name, as #rrggbb."""
    return PALETTE[name]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: tuple[Markup, ...]

    def __init__(self, title: str, *parts: Markup) -> None:
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "parts", parts)


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """A whole page as HTML text."""
    body = Markup("").join(
        Markup('<h2 id="s{}">{}</h2>{}').format(n, _plain(s.title), Markup("").join(s.parts))
        for n, s in enumerate(sections)
    )
    return str(
        Markup(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            "<title>{}</title><style>{}</style></head>\n"
            '<body><h1>{}</h1><p class="sub">{}</p>{}{}</body></html>\n'
        ).format(
            _plain(title),
            Markup(_CSS),  # nosec B704 # a constant
            _plain(title),
            _plain(subtitle),
            _contents(sections),
            body,
        )
    )


def _contents(sections: Sequence[Section]) -> Markup:
    """Links to the parts of a long page; sections `Part: title` are one part."""
    first: dict[str, int] = {}
    for n, section in enumerate(sections):
        first.setdefault(section.title.partition(":")[0], n)
    if len(first) < 6:
        return Markup("")
    links = (Markup('<a href="#s{}">{}</a>').format(n, part) for part, n in first.items())
    return Markup("<nav>{}</nav>").format(Markup(" · ").join(links))


def dump_sections(sections: Sequence[Section]) -> str:
    """Finished sections as JSON, for a page that is made later."""
    stored = [[s.title, *map(str, s.parts)] for s in sections]
    return json.dumps(stored, ensure_ascii=False)


def load_sections(stored: str | bytes) -> list[Section]:
    """The sections that `dump_sections` stored; only what headrace wrote itself is passed in."""
    return [Section(title, *map(Markup, parts)) for title, *parts in json.loads(stored)]


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph; `kind` is '', 'good', 'bad' or 'muted'."""
    return Markup('<p class="{}">{}</p>').format(kind, _plain(text))


def heading(text: str) -> Markup:
    """A small heading inside a section."""
    return Markup("<h3>{}</h3>").format(_plain(text))


def excerpt(text: str, limit: int = 600) -> Markup:
    """The beginning of a text as it stands, in a box."""
    shown = text if len(text) <= limit else text[:limit] + " …"
    return Markup('<div class="excerpt">{}</div>').format(visible_text(shown))


def details(summary: str, *parts: Markup) -> Markup:
    """Parts that are folded away behind a line."""
    return Markup("<details><summary>{}</summary>{}</details>").format(
        _plain(summary), Markup("").join(parts)
    )


def cell(value: Any) -> str:
    """A value of a table as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return visible(value)


def _plain(text: str) -> str:
    """Text of a page: markup as it is, all else on one line and visible."""
    return text if isinstance(text, Markup) else visible(text)


def _column(values: Sequence[Any]) -> list[str | Markup]:
    """A column's values; its fractions with as many decimals as four digits of the largest take."""
    largest = max((abs(v) for v in values if isinstance(v, float)), default=0.0)
    decimals = max(0, 4 - len(f"{largest:.0f}"))
    if 0 < largest < 0.1:
        decimals = 4

    def shown(v: Any) -> str | Markup:
        if isinstance(v, Markup):
            return v
        return f"{v:,.{decimals}f}" if isinstance(v, float) else cell(v)

    return [shown(v) for v in values]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Markup:
    """A table; numbers stand to the right, those of a column with the same decimals."""
    rows = [list(r) for r in rows]
    shown = [_column([r[i] for r in rows]) for i in range(len(columns))]
    numeric = [
        bool(rows) and all(r[i] is None or isinstance(r[i], int | float) for r in rows)
        for i in range(len(columns))
    ]

    def line(tag: str, values: Sequence[str | Markup]) -> Markup:
        cells = Markup("").join(
            Markup("<{0}{1}>{2}</{0}>").format(
                Markup(tag),  # nosec B704 # "td" or "th"
                Markup(' class="n"') if numeric[i] else Markup(""),
                v,
            )
            for i, v in enumerate(values)
        )
        return Markup("<tr>{}</tr>").format(cells)

    return Markup("<table>{}<thead>{}</thead><tbody>{}</tbody></table>").format(
        Markup("<caption>{}</caption>").format(_plain(caption)) if caption else Markup(""),
        line("th", [_plain(c) for c in columns]),
        Markup("").join(line("td", r) for r in zip(*shown, strict=True)),
    )


def tiles(items: Iterable[tuple[str, Any, str]]) -> Markup:
    """Key figures: (label, value, note) each."""
    return Markup('<div class="tiles">{}</div>').format(
        Markup("").join(
            Markup('<div class="tile"><span>{}</span><b>{}</b><span>{}</span></div>').format(
                _plain(label), cell(value), _plain(note)
            )
            for label, value, note in items
        )
    )


def drawings(sections: Iterable[Section]) -> dict[str, str]:
    """{file name: SVG} of the plots in finished sections, named by their section."""
    out = {}
    for section in sections:
        name = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "plot"
        found = re.findall(r"<svg.*?</svg>", "".join(section.parts), re.S)
        for n, svg in enumerate(found, 1):
            out[f"{name}.svg" if n == 1 else f"{name}-{n}.svg"] = svg + "\n"
    return out


def plot(
    draw: Callable[[Any], None], caption: str = "", width: float = 7.2, height: float = 3.0
) -> Markup:
    """A figure that `draw(axes)` fills; `axes` is one matplotlib Axes in the house style."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots()
    style(axes)
    draw(axes)
    return figure(fig, caption)


def style(axes: Any) -> None:
    """Give matplotlib Axes the house style."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALETTE["line"])
    axes.tick_params(colors=PALETTE["muted"], labelsize=8.5)
    axes.grid(axis="y", color="#eef1f4")
    axes.set_axisbelow(True)
    axes.set_prop_cycle(color=[PALETTE[c] for c in CYCLE])


def figure(fig: Any, caption: str = "") -> Markup:
    """A matplotlib Figure as inline SVG, the same bytes for the same data."""
    import matplotlib

    out = io.StringIO()
    # Text stays text: small, searchable, and drawn in the reader's fonts (Chinese too).
    with matplotlib.rc_context(
        {"svg.hashsalt": "headrace", "svg.fonttype": "none", "font.family": "sans-serif"}
    ):
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.S)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(
        Markup(svg),  # nosec B704 # matplotlib escapes the text that it draws
        _plain(caption),
    )
