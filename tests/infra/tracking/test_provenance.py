"""A run says who made it, by what, and from which commit; never more than that."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.infra.state import owner
from headrace.infra.tracking import provenance


def test_a_run_says_who_made_it_and_from_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/any/bin/headrace", "pretrain", "--set", "key=secret"])
    monkeypatch.setenv("LOGNAME", "someone else")
    tags = provenance.tags()
    assert tags["mlflow.user"] == owner.account() != "someone else"
    assert tags["mlflow.source.name"] == "headrace pretrain"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["headrace.version"]
    of_deployment = provenance.tags("retrain/on-drift")
    assert of_deployment["mlflow.source.name"] == "retrain/on-drift"
    assert of_deployment["mlflow.source.type"] == "JOB"


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/x/headrace", "run"], "headrace run"),
        (["/x/headrace", "--version"], "headrace"),
        (["/x/headrace"], "headrace"),
        (["/x/flows/cli.py", "align"], "headrace align"),
        (["/x/pytest", "tests"], "pytest"),
        (["-c"], "-c"),
    ],
)
def test_the_source_is_the_verb_without_its_arguments(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], name: str
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert provenance.command() == name


def git(root: Path, *words: str) -> str:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *author, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with the module in it, which is taken for headrace's."""
    root = tmp_path / "checkout"
    (root / "infra").mkdir(parents=True)
    module = root / "infra" / "provenance.py"
    module.write_text("x = 1\n")
    git(root, "init", "-b", "trunk")
    monkeypatch.setattr(provenance, "_ROOT", root)
    monkeypatch.setattr(provenance, "__file__", str(module))
    provenance.commit.cache_clear()
    yield root
    provenance.commit.cache_clear()


def test_the_commit_is_that_of_the_code(checkout: Path) -> None:
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "one")
    head = git(checkout, "rev-parse", "HEAD")
    expected = {"mlflow.source.git.commit": head, "mlflow.source.git.branch": "trunk"}
    assert provenance.commit() == expected
    (checkout / "infra" / "provenance.py").write_text("x = 2\n")
    provenance.commit.cache_clear()
    assert provenance.commit() == {**expected, "headrace.uncommitted": "true"}


def test_a_package_inside_anothers_repository_has_no_commit(checkout: Path) -> None:
    (checkout / "of-another.txt").write_text("x")
    git(checkout, "add", "of-another.txt")
    git(checkout, "commit", "-m", "one")
    assert provenance.commit() == {}


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert provenance.commit() == {}
