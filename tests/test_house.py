"""Every module has its test: training/moe/router.py, say, tests/training/moe/test_router.py."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
MODULES = [
    path
    for top in TOPS
    for path in sorted((ROOT / top).rglob("*.py"))
    if path.name != "__init__.py"
]
THROUGH_OTHERS = (ROOT / "tests" / "through_others.txt").read_text().split()
"""Modules without a test of their own name that no test imports: declarations, and parts that are
run through what uses them. A new module gets a test, not a line there."""


def imported_by_tests() -> set[str]:
    """Every name that a test file imports."""
    names: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return names


IMPORTED = imported_by_tests()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_has_its_test(path: Path) -> None:
    name = path.relative_to(ROOT)
    mirrored = ROOT / "tests" / name.parent / f"test_{name.name}"
    module = ".".join(["headrace", *name.with_suffix("").parts])
    assert mirrored.exists() or module in IMPORTED or str(name) in THROUGH_OTHERS, (
        f"write {mirrored.relative_to(ROOT)}"
    )


def test_the_list_of_exceptions_names_modules_that_exist() -> None:
    assert [name for name in THROUGH_OTHERS if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is(path: Path) -> None:
    assert path.read_text().lstrip().startswith(('"""', 'r"""')), "no docstring on the first line"
