"""The package list in pyproject.toml names every package folder and every data file."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "setuptools"
]
TOPS = [d for name, d in SETUPTOOLS["package-dir"].items() if name != "headrace"]


def test_package_list_is_complete() -> None:
    found = {
        "headrace." + ".".join(init.parent.relative_to(ROOT).parts)
        for top in TOPS
        for init in (ROOT / top).rglob("__init__.py")
        if init.parent.name != "_package"
    }
    assert found | {"headrace"} == set(SETUPTOOLS["packages"])


@pytest.mark.parametrize("top", TOPS)
def test_every_folder_with_a_module_is_a_package(top: str) -> None:
    modules = list((ROOT / top).rglob("*.py"))
    assert all((p.parent / "__init__.py").exists() for p in modules)


@pytest.mark.parametrize("top", TOPS)
def test_data_files_travel_with_the_package(top: str) -> None:
    """Whatever lies beside the modules and is tracked is in package-data."""
    left = []
    for path in sorted((ROOT / top).rglob("*")):
        parts = path.relative_to(ROOT).parts
        if not path.is_file() or path.suffix in (".py", ".pyc", ".nbi", ".nbc"):
            continue
        if "_package" in parts or any(x.startswith((".", "__")) for x in parts):
            continue
        kept = False
        for package, patterns in SETUPTOOLS["package-data"].items():
            folder = package.removeprefix("headrace").strip(".").split(".")
            if tuple(folder) == parts[: len(folder)]:
                inside = "/".join(parts[len(folder) :])
                kept = kept or any(
                    fnmatch(inside, p) and inside.count("/") == p.count("/") for p in patterns
                )
        if not kept:
            left.append("/".join(parts))
    assert not left, f"not in [tool.setuptools.package-data]: {left}"
