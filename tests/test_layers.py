"""Imports go one way: flows > tasks > (spark_jobs, training, expectations) > infra."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {"flows": 3, "tasks": 2, "spark_jobs": 1, "training": 1, "expectations": 1, "infra": 0}
FILES = [p for top in LAYERS for p in sorted((ROOT / top).rglob("*.py"))]
BELOW_FLOWS_AND_TASKS = ("spark_jobs", "training", "expectations", "infra")


def imported(source: str) -> set[str]:
    """Full names of all that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def upward(source: str, here: str) -> set[str]:
    """Layers that a module of layer `here` imports and may not."""
    tops = {n.split(".")[1] for n in imported(source) if n.startswith("headrace.")}
    return {t for t in tops if t != here and LAYERS[t] >= LAYERS[here]}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = path.relative_to(ROOT).parts[0]
    assert not upward(path.read_text(), here)


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.relative_to(ROOT).parts[0] in BELOW_FLOWS_AND_TASKS],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_jobs_know_nothing_of_the_scheduler(path: Path) -> None:
    """Only flows and tasks import Prefect, but for the module that starts its server."""
    tops = {n.split(".")[0] for n in imported(path.read_text())}
    layer = path.relative_to(ROOT).parts[0]
    assert "prefect" not in tops or path == ROOT / "infra" / "stack" / "prefect_server.py"
    if layer == "spark_jobs":
        assert "torch" not in tops
    if layer == "training":
        assert "pyspark" not in tops


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}


def unit(module: str) -> str:
    """The package of a module; one beside the packages of its layer stands for itself."""
    parts = MODULES[module].relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 2 else parts)


def arrows(modules: Mapping[str, str]) -> dict[str, set[str]]:
    """Which units each unit imports, by the sources of all modules."""
    out: dict[str, set[str]] = {}
    for module, source in modules.items():
        for name in imported(source):
            name = name.removeprefix("headrace.")
            while name not in modules and "." in name:
                name = name.rpartition(".")[0]
            if name in modules and unit(name) != unit(module):
                out.setdefault(unit(module), set()).add(unit(name))
    return out


def circles(out: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of units that lead to each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            new = out.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen

    below = {name: reached(name) for name in out}
    found: list[set[str]] = []
    for name in out:
        if name in below[name] and not any(name in circle for circle in found):
            found.append({other for other in below[name] if name in below.get(other, ())})
    return found


def test_no_packages_import_each_other_in_a_circle() -> None:
    sources = {name: path.read_text() for name, path in MODULES.items()}
    assert circles(arrows(sources)) == []
    sources["infra.state.clock"] += "\ndef f():\n    from headrace.infra.net import ports\n"
    assert any({"infra.state", "infra.net"} <= circle for circle in circles(arrows(sources)))


def test_a_command_starts_without_what_is_slow_to_import() -> None:
    code = (
        "import sys, headrace.flows.cli, headrace.tasks.configuration.settings; print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {
        "torch",
        "pyspark",
        "deepspeed",
        "mlflow",
        "prefect",
        "transformers",
        "matplotlib",
        "httpx",
    }
    assert not slow & set(said.stdout.split())


def test_a_seeded_fault_is_seen() -> None:
    fault = "def f():\n    from headrace.spark_jobs.curate.scan_job import scan\n"
    assert upward(fault, "training") == {"spark_jobs"}
    assert upward("import headrace.flows.cli", "infra") == {"flows"}
    assert not upward("from headrace.infra import storage", "training")
