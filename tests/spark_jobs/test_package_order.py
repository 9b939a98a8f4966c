"""Packages of spark_jobs import each other one way: kernels below levels, reading below curate."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2] / "spark_jobs"
PREFIX = "headrace.spark_jobs."


def part(name: str) -> str:
    """The package, or the module beside the packages, of a name below spark_jobs."""
    return name.removeprefix(PREFIX).split(".")[0]


def imports() -> dict[str, set[str]]:
    """What each part imports of the others, inside functions too."""
    graph: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        here = path.relative_to(ROOT).with_suffix("").parts[0]
        graph.setdefault(here, set()).update(part(n) for n in names if n.startswith(PREFIX))
    return {here: parts - {here} for here, parts in graph.items()}


def test_no_part_imports_itself_through_another() -> None:
    order = list(TopologicalSorter(imports()).static_order())
    assert order.index("texts") < order.index("kernels") < order.index("levels")
    assert order.index("reading") < order.index("curate")
