"""Every command in the pages for the three users is run, in its order, on a chain's state."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("data-engineer", "ml-lead", "automation")
Command = Callable[..., tuple[int, dict[str, Any], str]]
PRELUDE = f"""
set -euo pipefail
headrace() {{ {sys.executable} -m headrace.flows.cli "$@"; }}
make() {{ headrace "$1"; }}
prefect() {{ {sys.executable} -m prefect "$@"; }}
python() {{ {sys.executable} "$@"; }}
"""
"""A checkout has `headrace` on the path of its environment, and `make up` calls it."""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_command_that_no_test_runs(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    kinds = [kind for kind, _ in BLOCK.findall(text)]
    assert "sh" in kinds and set(kinds) <= {"sh", "json"}, kinds


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs(
    page: str,
    chain: Any,
    headrace: Command,
    state_copy: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    home = tmp_path / ".headrace"
    state_copy(home)
    shutil.copy(chain["other"], tmp_path / "news-of-may.jsonl")
    may = set(chain["other"].read_text().splitlines(keepends=True))
    june = [x for x in chain["more"].read_text().splitlines(keepends=True) if x not in may]
    (tmp_path / "news-of-june.jsonl").write_text("".join(june[:400]))
    lines = Path(chain["args"][2]).read_text().splitlines(keepends=True)
    (tmp_path / "corpus").mkdir()
    for part in range(2):
        (tmp_path / "corpus" / f"{part}.jsonl").write_text("".join(lines[part::2]))
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = [block for kind, block in BLOCK.findall(text) if kind == "sh"]
    env = {**os.environ, "HEADRACE_HOME": str(home)}
    done = ""
    try:
        for block in blocks:
            # Variables of earlier blocks are still known to a reader's shell.
            names = "\n".join(
                re.findall(r"^(?:export [A-Z_]+=|[A-Z_]+=|eval ).*$", done, re.MULTILINE)
            )
            ran = subprocess.run(
                ["bash", "-c", f"{PRELUDE}{names}\n{block}"],
                cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, f"{block}\n{ran.stdout[-1500:]}\n{ran.stderr[-1500:]}"
            done += block
    finally:
        headrace(home, "down")
