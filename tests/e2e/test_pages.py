"""The pages for the three users can be followed word for word, on the samples in docs/examples.

A page's `sh` and `python` blocks are run in one shell, as a reader would. Beside a command may
stand the exit code that it ends with (`# exit code 6`), below a block a `text` block with lines
that it prints. A block that no test can run carries `<!-- not run: REASON -->` above it.
"""

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import dataset

from headrace.flows.cli import cli, spread
from headrace.infra.configuration.config_file import read_config
from headrace.infra.configuration.settings import load
from headrace.tasks.configuration import settings as verbs
from headrace.training.scoring.policy import read_policy

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "docs" / "examples"
COLLECTED = "collected.jsonl"
"""The sample with a line for every outcome."""
WALKS = (("data-engineer",), ("ml-lead",), ("automation", "monitors"))
"""Pages that are followed in one folder, one after the other."""
PAGES = [page for walk in WALKS for page in walk]
NOT_RUN = {"data-engineer": 1, "ml-lead": 1, "automation": 1, "monitors": 0}
"""Blocks of a page that carry a reason for not being run; one more is to be looked at."""
SHOWN: dict[str, Callable[[str], Any]] = {"json": json.loads, "yaml": yaml.safe_load, "text": str}
"""Blocks that are no commands: how each is read, so that one that is damaged fails."""
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>.*?) -->\n)?^```(?P<kind>\S*)\n(?P<text>.*?)^```$", re.M | re.S
)
CODE = re.compile(r"\s+# exit code (\d+)$", re.M)
HEADRACE = re.compile(r"(?<![\w./~-])headrace (?P<call>(?:[^|;&)\n]|\\\n)+)")
"""A call of the command in a line of a shell."""
MADE = re.compile(r"mkdir -p (\S+)|cp \S+ (\S+)|cat > (\S+)|--(?:output|textfile) (\S+)")
"""What a command makes, for those below it."""


@dataclass(frozen=True)
class Block:
    page: str
    kind: str
    text: str
    why_not: str | None
    prints: tuple[str, ...]
    """Lines of the `text` block below it."""

    @property
    def code(self) -> int:
        """The exit code that its last command ends with."""
        found = CODE.findall(self.text)
        assert len(found) <= 1, f"{self.page}: a block states one exit code, that of its end"
        return int(found[0]) if found else 0


def blocks(page: str) -> list[Block]:
    found = list(BLOCK.finditer((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")))
    out = []
    for at, match in enumerate(found):
        after = found[at + 1] if at + 1 < len(found) else None
        shown = after["text"] if after is not None and after["kind"] == "text" else ""
        lines = tuple(" ".join(line.split()) for line in shown.splitlines() if line.strip())
        out.append(Block(page, match["kind"], match["text"], match["why"], lines))
    return out


def commands(page: str) -> list[Block]:
    return [b for b in blocks(page) if b.kind in ("sh", "python") and b.why_not is None]


def calls(page: str) -> list[list[str]]:
    """The arguments of each call of `headrace` in a page, as the shell would give them."""
    out = []
    for block in commands(page):
        text = CODE.sub("", block.text) if block.kind == "sh" else ""
        for match in HEADRACE.finditer(text.replace("\\\n", " ")):
            line = re.sub(r"(?<=\s)2?>.*$", "", match["call"]).replace("$PWD", str(SAMPLES))
            if line.count('"') % 2:  # `"$(headrace env)"`
                line = line.rstrip('"')
            out.append(spread(shlex.split(line)))
    return out


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_is_left_out_in_silence(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found = blocks(page)
    assert len(found) * 2 == len(re.findall(r"^\s*(?:```|~~~)", text, re.M)), "an odd fence"
    assert {b.kind for b in found} <= {"sh", "python", *SHOWN}
    for block in found:
        if block.kind in SHOWN:
            SHOWN[block.kind](block.text)
            assert block.why_not is None, "only commands need a reason"
    reasons = [b.why_not for b in found if b.why_not is not None]
    assert len(reasons) == NOT_RUN[page] and all(len(why) > 20 for why in reasons)
    assert text.count("<!-- not run") == len(reasons), "a reason without its block"
    before = [b.kind for b, c in itertools.pairwise(found) if c.kind == "text"]
    assert set(before) <= {"sh", "python"}, "a `text` block says what the block above it prints"
    assert commands(page)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_can_be_called_as_it_stands(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verb, options, their kinds and values, and every setting with its value."""
    monkeypatch.chdir(SAMPLES)
    found = calls(page)
    assert len(found) >= 6
    for verb, *rest in found:
        assert verb in cli.commands, f"{page}: no verb {verb}"
        context = cli.commands[verb].make_context(verb, list(rest))
        given = context.params
        model = getattr(verbs, f"{verb.capitalize()}Config", None)
        if model is None:
            assert not given["sets"] and given["config"] is None, f"{verb} has no settings"
        else:
            load(model, given["config"], given["sets"], {})


@pytest.mark.parametrize("walk", WALKS, ids="+".join)
def test_every_file_that_a_page_names_ships_or_is_made_above(walk: tuple[str, ...]) -> None:
    made: set[str] = set()
    for page in walk:
        read = 0
        for line in [x for b in commands(page) for x in b.text.replace("\\\n", " ").splitlines()]:
            made |= {part.strip("/") for m in MADE.findall(line) for part in m if part}
            for name in files_of(line):
                read += 1
                known = {name, name.split("/")[0]} & made
                assert known or list(SAMPLES.glob(name)), f"{page}: {name}: not shipped, not made"
        assert read >= 3, f"{page}: this test sees no files any more"


def files_of(line: str) -> set[str]:
    """The files and folders that a line of a page names, but for the state folder's."""
    out = set(re.findall(r"[\w./*-]+\.(?:jsonl|gz|yaml|json|prom|txt|csv|parquet)\b", line))
    for option in ("input", "window", "suite", "policy", "config", "data", "release", "inbox"):
        out |= set(re.findall(rf"--{option}[ =](\S+)", line))
    bare = {name.removeprefix("$").removeprefix("PWD/").strip("/\"'") for name in out}
    return {name for name in bare if not name.startswith(".headrace/")}


def test_the_samples_are_small_and_each_is_explained() -> None:
    files = [p for p in SAMPLES.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 1 << 20
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    for path in files:
        name = str(path.relative_to(SAMPLES))
        shown = "corpus/notices/*.txt" if name.startswith("corpus/notices/") else name
        assert name == "README.md" or f"`{shown}`" in text, f"README.md says nothing of {name}"
    read_policy(str(SAMPLES / "policy.yaml"))
    read_config(SAMPLES / "example.yaml")


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("sh\nheadrace curat --input corpus --output o", "no verb curat"),
        ("sh\nheadrace curate --inputs corpus --output o", "--inputs"),
        ("sh\nheadrace curate --input corpus", "Missing parameter: output"),
        ("sh\nheadrace generate --model champion --prompt x --max-tokens many", "many"),
        ("sh\nheadrace curate --input corpus --output o --set semantic.threshold=1", "semantic"),
        ("sh\nheadrace curate --input corpus --output o --set bias.threshold=2", "bias.threshold"),
        ("sh\nheadrace status --set bias.threshold=0.2", "status has no settings"),
        ("sh\nheadrace curate --input corpus/none.jsonl --output o", "not shipped"),
        ("sh\ncp none.jsonl here/", "not shipped"),
        ("bash\nheadrace status", "bash"),
        ("yaml\na: [", "flow"),
        ("text\nwhat nothing prints", "block above"),
    ],
)
def test_a_page_with_a_fault_is_refused(
    block: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    whole = "\n```\n\n```sh\n".join(["headrace validate --release corpus"] * 6)
    text = f"```yaml\na: 1\n```\n\n```{block}\n```\n\n```sh\n{whole}\n```\n"
    (tmp_path / "docs" / "p.md").write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    monkeypatch.setitem(NOT_RUN, "p", 0)

    def check() -> None:
        test_no_block_of_a_page_is_left_out_in_silence("p")
        test_every_command_of_a_page_can_be_called_as_it_stands("p", monkeypatch)
        test_every_file_that_a_page_names_ships_or_is_made_above(("p",))

    with pytest.raises(Exception, match=re.escape(fault)):
        check()


def script(walk: tuple[str, ...]) -> str:
    """One shell that follows the pages: before each block a line says which comes."""
    out = ["set -o pipefail"]
    for number, block in enumerate(b for page in walk for b in commands(page)):
        out.append(f"echo; echo '==== block {number}'")
        if block.kind == "python":
            out.append(f"python - <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK")
            out.append("test $? -eq 0 || exit 99")
        elif block.code:
            out += [CODE.sub("", block.text), f"test $? -eq {block.code} || exit 99"]
        else:
            out += ["set -e", block.text, "set +e"]
    return "\n".join([*out, "echo '==== end'"])


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("walk", WALKS, ids="+".join)
def test_a_page_can_be_followed_word_for_word(walk: tuple[str, ...], tmp_path: Path) -> None:
    place = tmp_path / "walk"
    shutil.copytree(SAMPLES, place)
    env = {k: v for k, v in os.environ.items() if k != "HEADRACE_HOME"}
    # What `. .venv/bin/activate` does.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    log = tmp_path / "log.txt"
    with log.open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-c", script(walk)], cwd=place, env=env, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = shell.wait()
        finally:
            # A receiver that a failed page left behind; not the stack, which `down` ends.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
            subprocess.run(
                [sys.executable, "-m", "headrace.flows.cli", "down"],
                cwd=place, env=env, capture_output=True, check=False,
            )  # fmt: skip
    said = re.split(r"^==== (?:block \d+|end)$", log.read_text(errors="replace"), flags=re.M)[1:]
    followed = [b for page in walk for b in commands(page)]
    at = followed[min(len(said), len(followed)) - 1]
    assert code == 0 and len(said) == len(followed) + 1, (
        f"{at.page}:\n{at.text}\n{said[-1][-3000:]}"
    )
    assert "Traceback" not in log.read_text(errors="replace")
    for block, printed in zip(followed, said, strict=False):
        shown = [" ".join(line.split()) for line in printed.splitlines()]
        for line in block.prints:
            assert line in shown, f"{block.page}: {line!r} is not what it prints\n{printed[-2000:]}"


@pytest.mark.slow
@pytest.mark.spark
def test_the_samples_come_to_what_their_readme_says(headrace: Any, tmp_path: Path) -> None:
    code, answer, err = headrace(
        tmp_path / "home", "curate", "--input", str(SAMPLES / "corpus"), "--output", str(tmp_path)
    )
    assert code == 0, err
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    listed = {int(n): became for n, became in re.findall(r"^\| (\d+) \|.*\| (.*?) \|$", text, re.M)}
    assert set(listed) == set(range(1, 14))
    release = Path(answer["release"])
    rejected = dataset.dataset(release / "rejected").to_table(["source", "position", "reason"])
    reasons = {r["position"]: r["reason"] for r in rejected.to_pylist() if COLLECTED in r["source"]}
    copies = {r["reason"] for r in rejected.to_pylist() if COLLECTED not in r["source"]}
    for line, became in listed.items():
        (reason,) = re.findall(r"`([\w.]+)`", became) or [None]
        if line <= 2:
            assert reason in copies | {reasons.get(line)}, line
        else:
            assert reasons.get(line) == reason, line
    assert copies <= {"duplicate.exact", "duplicate.near"}, "every other sample is kept"
    unreadable = dataset.dataset(release / "unreadable").to_table(["source", "position"])
    assert unreadable.column("position").to_pylist() == [3] and "unreadable" in listed[3]
    domains = {p.name for p in (release / "documents").glob("lang=*/domain=*")}
    assert domains == {f"domain={d}" for d in ("general", "legal", "medical", "financial")}
