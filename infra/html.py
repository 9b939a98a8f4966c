"""Self-contained HTML pages from the templates in `templates/`: what every report is made with.

A report's module collects figures and draws plots; its template has the words and the layout. All
text is escaped and every character of it visible; nothing is loaded from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from headrace.infra.visible import visible, visible_text

Cell = str | float | None
"""A value of a table: text, a number or truth value, or None where there is none."""
EXCERPT = 600
"""Characters of a text that an excerpt shows."""


@dataclass(frozen=True)
class Contents:
    """The headings of a page, collected while its body is rendered."""

    headings: list[str] = field(default_factory=list)

    def add(self, name: str) -> int:
        """Note a heading that belongs to the part `name`; return its number."""
        self.headings.append(name)
        return len(self.headings) - 1

    @property
    def parts(self) -> dict[str, int]:
        """{part: number of its first heading}."""
        out: dict[str, int] = {}
        for number, name in enumerate(self.headings):
            out.setdefault(name, number)
        return out


def page(template: str, title: str, subtitle: str, **values: object) -> str:
    """Return a whole page as HTML text.

    Args:
        template: file in `templates/` that makes the body.
        title: heading of the page.
        subtitle: the line below it.
        values: what the template shows.
    """
    contents, environment = Contents(), _environment()
    body = environment.get_template(template).render(contents=contents, part="", **values)
    return environment.get_template("layout.html.j2").render(
        title=title,
        subtitle=subtitle,
        contents=contents,
        body=Markup(body),  # nosec B704 # its template has escaped every value
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=cell,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["as_table"] = as_table
    environment.filters["beginning"] = beginning
    return environment


def _template(name: str) -> str:
    """Return the source of a template, also where the package is a zip."""
    return (resources.files("headrace.infra") / "templates" / name).read_text(encoding="utf-8")


def cell(value: object) -> str:
    """Return a value as a person reads it, on one line; markup as it is."""
    if value is None:
        return "-"
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return visible(value)


def beginning(text: str, limit: int = EXCERPT) -> Markup:
    """Return the first characters of a text of several lines."""
    return escape(visible_text(text if len(text) <= limit else text[:limit] + " …"))


def toned(text: str, tone: str) -> Markup:
    """Return text in a tone of the style sheet: 'good', 'bad' or 'muted'."""
    return Markup('<span class="{}">{}</span>').format(tone, visible(text))


@dataclass(frozen=True)
class Table:
    """A table as it is shown."""

    rows: list[tuple[str, ...]]
    attributes: list[Markup]
    """HTML attributes of the cells of each column."""


def as_table(rows: Iterable[Sequence[Cell]], columns: int) -> Table:
    """Return the rows of a table as text, and which columns are numbers."""
    given = [list(row) for row in rows]
    numeric = [
        bool(given) and all(r[i] is None or isinstance(r[i], int | float) for r in given)
        for i in range(columns)
    ]
    shown = [_column([r[i] for r in given]) for i in range(columns)]
    return Table(
        list(zip(*shown, strict=True)), [Markup(' class="n"' if n else "") for n in numeric]
    )


def _column(values: Sequence[Cell]) -> list[str]:
    """Format a column's values, with the decimals that four digits of the largest take."""
    largest = max((abs(v) for v in values if isinstance(v, float)), default=0.0)
    decimals = 4 if 0 < largest < 0.1 else max(0, 4 - len(f"{largest:.0f}"))
    return [f"{v:,.{decimals}f}" if isinstance(v, float) else cell(v) for v in values]
