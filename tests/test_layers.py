"""Imports go one way: flows > tasks > (spark_jobs, training, expectations) > infra."""

import ast
import subprocess
import sys
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


def test_a_command_starts_without_what_is_slow_to_import() -> None:
    code = (
        "import sys, headrace.flows.cli, headrace.tasks.configuration.settings; print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"torch", "pyspark", "deepspeed", "mlflow", "prefect", "transformers", "matplotlib"}
    assert not slow & set(said.stdout.split())


def test_a_seeded_fault_is_seen() -> None:
    fault = "def f():\n    from headrace.spark_jobs.curate.scan_job import scan\n"
    assert upward(fault, "training") == {"spark_jobs"}
    assert upward("import headrace.flows.cli", "infra") == {"flows"}
    assert not upward("from headrace.infra import storage", "training")
