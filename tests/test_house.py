"""Every module has its test: training/moe/router.py, say, tests/training/moe/test_router.py."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
MODULES = [
    path.relative_to(ROOT)
    for top in TOPS
    for path in sorted((ROOT / top).rglob("*.py"))
    if path.name != "__init__.py"
]
EXCEPTIONS = dict(
    line.split() for line in (ROOT / "tests" / "through_others.txt").read_text().splitlines()
)
"""Modules without a test of their own name, with the test that runs them: flows and small parts
that run through what uses them, and declarations. A new module gets a test, not a line there."""


def mirrored(module: Path) -> list[Path]:
    """Return where a module's own test may be: beside the name of the module, or of its package."""
    tests = Path("tests")
    package = module.parent
    return [
        tests / package / f"test_{module.name}",
        tests / package.parent / f"test_{package.name}.py",
    ]


def has_its_own_test(module: Path) -> bool:
    return any((ROOT / test).exists() for test in mirrored(module))


def imports(path: Path) -> set[Path]:
    """Return the modules of headrace that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {Path(*name.split(".")[1:]).with_suffix(".py") for name in names
             if name.startswith("headrace.")}  # fmt: skip
    return files & set(MODULES)


def reached(test: Path) -> set[Path]:
    """Return the modules that a test imports, or that those import, and so on."""
    found: set[Path] = set()
    waiting = [test]
    while waiting:
        new = imports(waiting.pop()) - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_its_test(module: Path) -> None:
    assert has_its_own_test(module) or str(module) in EXCEPTIONS, f"write {mirrored(module)[0]}"


@pytest.mark.parametrize("module", EXCEPTIONS)
def test_an_exception_is_needed_and_names_a_test_that_runs_the_module(module: str) -> None:
    test = Path(EXCEPTIONS[module])
    assert (ROOT / module).exists(), "no such module: remove the line"
    assert not has_its_own_test(Path(module)), "it has its own test: remove the line"
    assert (ROOT / test).exists(), "no such test"
    # The end-to-end tests run the command in a process.
    assert test.parts[1] == "e2e" or Path(module) in reached(test), f"{test} doesn't import it"


def test_a_test_reaches_what_its_imports_import() -> None:
    seen = reached(Path("tests/expectations/test_release.py"))
    assert Path("expectations/release.py") in seen and Path("infra/errors.py") in seen
    assert Path("training/moe/router.py") not in seen
