"""Draws docs/packages.svg and the table of docs/architecture.md: packages, and who imports whom.

    .venv/bin/python tests/helpers/house_picture.py

Packages of a layer stand in a row, importers left of what they import; an arc above the row is an
import to the right, a red one below it an import to the left: a circle. Arcs at the margin are
imports of another layer.
"""

import ast
from collections.abc import Iterable
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LAYERS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
BEGIN, END = "<!-- packages: made by tests/helpers/house_picture.py -->", "<!-- end of packages -->"
Arrow = tuple[str, str]
_BOX, _GAP, _BAND, _LEFT, _TOP = 92, 10, 140, 200, 0


def modules() -> dict[str, str]:
    """Return {module without `headrace.`: its package, as a path}."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): (
            path.parent.relative_to(ROOT).as_posix()
        )
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*.py"))
        if path.parent.name != "_package"
    }


def imported(source: str) -> set[str]:
    """Return the names below `headrace.` that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("headrace.") for name in names if name.startswith("headrace.")}


def arrows() -> set[Arrow]:
    """Return (package, package that it imports)."""
    package = modules()
    return {
        (package[module], package[name])
        for module in package
        for name in imported(_source(module))
        if name in package and package[name] != package[module]
    }


def _source(module: str) -> str:
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8")


def layer(package: str) -> str:
    return package.split("/")[0]


def ordered(packages: Iterable[str], within: set[Arrow]) -> list[str]:
    """Return packages with importers before what they import, as far as there are no circles."""
    left, row = set(packages), []
    while left:
        waiting = {p: sum(a in left and b == p for a, b in within) for p in left}
        row.append(min(left, key=lambda p: (waiting[p], p)))
        left.remove(row[-1])
    return row


def rows(edges: set[Arrow]) -> dict[str, list[str]]:
    """Return {layer: its packages in the order of the picture}."""
    packages = set(modules().values())
    return {
        name: ordered(
            (p for p in packages if layer(p) == name),
            {(a, b) for a, b in edges if layer(a) == layer(b) == name},
        )
        for name in LAYERS
    }


def _arc(x1: float, x2: float, y: float, bend: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:g} {y:g} Q{(x1 + x2) / 2:g} {y + bend:g} {x2:g} {y:g}"/>'


def svg() -> str:
    """Return the picture."""
    edges = arrows()
    order = rows(edges)
    width = _LEFT + max(map(len, order.values())) * (_BOX + _GAP) + 20
    at: dict[str, tuple[float, float]] = {}
    parts: list[str] = []
    for number, (name, packages) in enumerate(order.items()):
        y = _TOP + number * _BAND + 70
        parts.append(f'<text class="layer" x="{_LEFT - 14}" y="{y + 20}">{name}</text>')
        for column, package in enumerate(packages):
            x = _LEFT + column * (_BOX + _GAP)
            at[package] = (x + _BOX / 2, y)
            text = "/".join(package.split("/")[1:]) or "(top)"
            parts.append(f'<rect x="{x}" y="{y}" width="{_BOX}" height="30" rx="4"/>')
            parts.append(f'<text x="{x + _BOX / 2:g}" y="{y + 19}">{escape(text)}</text>')
    for a, b in sorted(edges):
        (x1, top), (x2, _) = at[a], at[b]
        if layer(a) == layer(b):
            far = min(abs(x2 - x1) / (_BOX + _GAP), 8)
            forward = x1 < x2
            bend = -(18 + 14 * far) if forward else 18 + 10 * far
            parts.append(
                _arc(x1, x2, top if forward else top + 30, bend, "in" if forward else "back")
            )
    for a, b in sorted({(layer(a), layer(b)) for a, b in edges if layer(a) != layer(b)}):
        y1, y2 = (_TOP + LAYERS.index(n) * _BAND + 85 for n in (a, b))
        x = _LEFT - 110
        bend = 26 * abs(LAYERS.index(a) - LAYERS.index(b))
        kind = "down" if y2 > y1 else "back"
        parts.append(
            f'<path class="{kind}" d="M{x} {y1} Q{x - bend} {(y1 + y2) / 2:g} {x} {y2 - 8}"/>'
        )
    height = _TOP + len(LAYERS) * _BAND + 40
    style = (
        "text{font:12px sans-serif;text-anchor:middle;fill:#1f2937}"
        ".layer{font-weight:bold;text-anchor:end}rect{fill:#eef2ff;stroke:#6366f1}"
        "path{fill:none;stroke-width:1.1;marker-end:url(#a)}.in{stroke:#6366f1}"
        ".down{stroke:#374151}.back{stroke:#dc2626}"
    )
    marker = (
        '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#4b5563;stroke:none"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"<title>Packages of headrace and the imports between them</title>\n"
        f"<style>{style}</style>\n<defs>{marker}</defs>\n"
        f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def table() -> str:
    """Return the table of the page: each package with what it imports."""
    edges = arrows()
    lines = ["| package | imports |", "|---|---|"]
    for packages in rows(edges).values():
        for package in packages:
            names = sorted(b for a, b in edges if a == package)
            lines.append(f"| `{package}` | {', '.join(f'`{n}`' for n in names) or '–'} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the text of docs/architecture.md with its table renewed."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write the picture and the table."""
    (DOCS / "packages.svg").write_text(svg(), encoding="utf-8")
    file = DOCS / "architecture.md"
    file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
