"""What is declared, pinned and locked agree, and an installation takes nothing else."""

import ast
import re
import subprocess
import sys
import tomllib
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "infra" / "locks"
TOPS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECLARED = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
EXTRAS = {
    extra: [Requirement(text) for text in texts]
    for extra, texts in PROJECT["project"]["optional-dependencies"].items()
}
BUILD = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
OF_A_LOCK = {
    "run": DECLARED,
    "dev": [*EXTRAS["dev"], *EXTRAS["fit"]],
    "audit": EXTRAS["audit"],
    "torch": [r for r in DECLARED if r.name == "torch"],
    "build": BUILD,
}
NEVER_IMPORTED = {
    "boto3": "mlflow's artifacts on S3",
    "fastapi": "prefect's and mlflow's, for its bound",
}
FOR_TYPES_ONLY = {"_typeshed"}
"""What type checkers bring themselves."""
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(path: Path) -> list[tuple[str, str, list[str]]]:
    """(name, version, hashes) of the lines of a lock or of the pins."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M).replace("\\\n", " ")
    out: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        found = re.match(r"([A-Za-z0-9][\w.-]*)==([^\s;]+)", line)
        assert found, f"{path.name}: {line}"
        out.append((canonicalize_name(found[1]), found[2], HASH.findall(line)))
    return out


PINS = {name: version for name, version, _ in entries(ROOT / "infra" / "constraints.txt")}
BRINGS = metadata.packages_distributions()
"""Import name -> the distributions that bring it, as they are installed here."""
LOCKED = {lock: entries(LOCKS / f"{lock}.lock") for lock in OF_A_LOCK}


@pytest.mark.parametrize(
    "wanted",
    [*DECLARED, *BUILD, *EXTRAS["dev"], *EXTRAS["fit"], *EXTRAS["audit"]],
    ids=lambda r: r.name,
)
def test_a_pin_lies_within_the_bounds(wanted: Requirement) -> None:
    operators = {s.operator for s in wanted.specifier}
    assert operators == {">=", "<"}, "a lower and an upper bound"
    assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)])


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("fastapi", "0.155.0"),  # prefect 3.8.8: Body() got an unexpected keyword argument
        ("sqlalchemy", "2.1.9"),  # prefect 3.8.8: its scheduler makes no runs
    ],
)
def test_what_is_known_to_break_is_out_of_bounds(name: str, version: str) -> None:
    assert not any(r.name == name and r.specifier.contains(version) for r in DECLARED)


def test_the_pins_name_each_package_once() -> None:
    lines = [line for line in (ROOT / "infra" / "constraints.txt").read_text().splitlines() if line]
    assert len(lines) == len(PINS)


def test_the_locks_hold_exactly_the_pins() -> None:
    """What has no pin is printed: the lines that infra/constraints.txt lacks."""
    locked = {f"{name}=={version}" for lock in LOCKED.values() for name, version, _ in lock}
    pinned = {f"{name}=={version}" for name, version in PINS.items()}
    assert "\n".join(sorted(locked - pinned)) == ""
    assert "\n".join(sorted(pinned - locked)) == ""


@pytest.mark.parametrize("lock", [*OF_A_LOCK, "torch-cpu"])
def test_every_package_of_a_lock_has_hashes(lock: str) -> None:
    assert [name for name, _, hashes in entries(LOCKS / f"{lock}.lock") if not hashes] == []


@pytest.mark.parametrize("lock", OF_A_LOCK)
def test_a_lock_has_what_is_declared(lock: str) -> None:
    have = {name for name, _, _ in LOCKED[lock]} | {name for name, _, _ in LOCKED["build"]}
    if lock == "run":
        have |= {name for name, _, _ in LOCKED["torch"]}
    assert {canonicalize_name(r.name) for r in OF_A_LOCK[lock]} <= have


def test_the_locks_of_an_installation_are_complete() -> None:
    """Each package's own requirements, as they are installed here, are in a lock too."""
    have = {name for lock in ("build", "run", "torch", "dev") for name, _, _ in LOCKED[lock]}
    missing = []
    for name in sorted(have):
        try:
            needs = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:  # what only another platform or build takes
            continue
        for need in needs:
            asked = need.marker is None or need.marker.evaluate({"extra": ""})
            if asked and canonicalize_name(need.name) not in have:
                missing.append(f"{name} needs {need}")
            elif asked:
                assert need.specifier.contains(PINS[canonicalize_name(need.name)], True), name
    assert missing == []


def test_the_cpu_build_of_torch_is_of_the_pinned_release() -> None:
    ((name, version, _),) = entries(LOCKS / "torch-cpu.lock")
    assert (name, Version(version).public, Version(version).local) == ("torch", PINS[name], "cpu")


FIT = ROOT / "spark_jobs" / "fit"
SOURCES = [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]
OUTSIDE_FIT = [path for path in SOURCES if FIT not in path.parents]


def imports(paths: list[Path]) -> dict[str, Path]:
    """Top-level names that the files import, each with a file that does."""
    found: dict[str, Path] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.split(".")[0]: path.relative_to(ROOT) for name in names}
    known = sys.stdlib_module_names | FOR_TYPES_ONLY | {"headrace"}
    return {n: p for n, p in found.items() if n not in known}


def distributions(name: str) -> set[str]:
    """The distributions that bring an import name, as they are installed here."""
    return {canonicalize_name(d) for d in BRINGS.get(name, ())}


def names_of(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(r.name) for r in requirements}


def test_every_import_is_of_a_declared_dependency() -> None:
    """What only spark_jobs/fit imports may be of the extra `fit`."""
    declared = names_of(DECLARED)
    assert {n: p for n, p in imports(OUTSIDE_FIT).items() if not distributions(n) & declared} == {}
    declared |= names_of(EXTRAS["fit"])
    assert {n: p for n, p in imports(SOURCES).items() if not distributions(n) & declared} == {}


def test_every_declared_dependency_is_imported() -> None:
    """Or listed here with what it is for; what spark_jobs/fit alone imports is of its extra."""
    brought = {d for name in imports(OUTSIDE_FIT) for d in distributions(name)}
    assert names_of(DECLARED) - brought == set(NEVER_IMPORTED)
    of_fit = {d for name in imports(SOURCES) for d in distributions(name)} - brought
    assert names_of(EXTRAS["fit"]) <= of_fit


def test_make_installs_nothing_without_a_hash() -> None:
    """But headrace itself, without its dependencies; and builds nothing in an environment apart."""
    said = subprocess.run(
        ["make", "-n", "-B", "install-dev", ".venv-audit/installed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", " ")
    installs = re.findall(r"pip install[^&|;}\n]*", said)
    assert len(installs) == 8
    for command in installs:
        assert {"--no-deps", "--no-build-isolation"} <= set(command.split()), command
        assert ("--require-hashes" in command) != command.rstrip().endswith("-e ."), command
        assert "--upgrade" not in command


def test_an_accepted_advisory_has_a_date_and_a_reason() -> None:
    for line in (LOCKS / "accepted-advisories.txt").read_text().splitlines():
        if not line.startswith("#"):
            advisory, day, reason = line.split(maxsplit=2)
            assert re.fullmatch(r"(GHSA|PYSEC|CVE)-[\w-]+", advisory), line
            assert date.fromisoformat(day) and len(reason.split()) > 3, line


def test_an_exception_of_bandit_says_which_and_why() -> None:
    lines = [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in (p for top in TOPS for p in sorted((ROOT / top).rglob("*.py")))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# nosec" in line
    ]
    assert lines
    said = re.compile(r"# nosec B\d{3}(, B\d{3})* # \S.+")
    assert [where for where, line in lines if not said.search(line)] == []
    skipped = re.search(
        r"^skips = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )
    assert skipped
    assert all(re.fullmatch(r' *"B\d{3}",  # \S.+', s) for s in skipped[1].splitlines())
