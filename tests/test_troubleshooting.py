"""What the page on troubleshooting quotes of the code is said there."""

import ast
import re
from pathlib import Path

import pytest

from headrace.infra import errors

ROOT = Path(__file__).parents[1]
LAYERS = ("flows", "tasks", "spark_jobs", "training", "expectations", "infra")
GAP = "…"


def said(node: ast.AST) -> str:
    """The string that an expression makes, with a gap for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(said, node.values))
    if isinstance(node, ast.BinOp):
        return said(node.left) + said(node.right)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else GAP


def strings() -> list[str]:
    """Every string in the code, filled ones with gaps."""
    out = []
    for top in LAYERS:
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
                    out.append(said(node))
    return [text for text in out if text.strip(GAP)]


STRINGS = strings()
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def rows(page: str) -> list[str]:
    """The first cells of a page's tables, without headings."""
    found = re.findall(r"^\| (.+?) \|", page, re.MULTILINE)
    return [cell for cell in found if cell not in ("what you see", "code")]


def quoted(page: str) -> list[str]:
    """What the first cells quote: messages, not names of verbs, files and aliases."""
    spans = [span for cell in rows(page) for span in re.findall(r"`([^`]+)`", cell)]
    return [span for span in spans if " " in span]


def occurs(message: str) -> bool:
    """Whether a string of the code has the parts of a message in their order."""
    parts = [re.escape(part.strip()) for part in message.split(GAP) if part.strip(" :;,.()")]
    wanted = re.compile(".*".join(parts), re.DOTALL)
    return any(wanted.search(text) for text in STRINGS)


def test_there_is_much_to_check() -> None:
    assert len(quoted(PAGE)) > 50 and len(STRINGS) > 2000
    assert not occurs("this is said nowhere") and not occurs("port … is sold")


@pytest.mark.parametrize("message", quoted(PAGE))
def test_each_message_of_the_troubleshooting_page_is_said_so(message: str) -> None:
    assert occurs(message)


def test_each_class_of_error_has_its_row_with_its_code() -> None:
    kinds = {n: v for n, v in vars(errors).items()
             if isinstance(v, type) and issubclass(v, errors.HeadraceError)}  # fmt: skip
    listed = {name: int(code) for code, name in
              re.findall(r"^\| (\d) \| `(\w+)` \|", PAGE, re.MULTILINE)}  # fmt: skip
    assert listed == {name: kind.code for name, kind in kinds.items()}
