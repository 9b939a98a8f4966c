"""Pages that quote the code: each message, test and error class in them exists."""

import ast
import re
from pathlib import Path

import pytest

from headrace.flows.cli import cli
from headrace.infra import errors

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
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


@pytest.mark.parametrize("page", DOCS, ids=lambda p: p.name)
def test_each_test_that_a_page_names_exists(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text("utf-8")):
        assert (ROOT / path).is_file(), path
        if name:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), name


@pytest.mark.parametrize("page", DOCS, ids=lambda p: p.name)
def test_each_command_that_a_page_names_is_one(page: Path) -> None:
    for verb in re.findall(r"(?<![\w/.])headrace ([a-z]+)\b", code_of(page.read_text("utf-8"))):
        assert verb in cli.commands, verb


def code_of(text: str) -> str:
    """The code of a page: spans and blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    return "\n".join([*blocks, *(x for x in inline if x.startswith("headrace "))])


@pytest.mark.parametrize("page", ["security", "backup", "upgrade", "troubleshooting", "operator"])
def test_links_between_the_operators_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    for name, anchor in re.findall(r"\]\(([\w-]+\.md)?(?:#([\w-]+))?\)", text):
        target = ROOT / "docs" / (name or f"{page}.md")
        if name == "supply-chain.md" and not target.exists():
            continue  # written beside this page
        headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
        assert not anchor or anchor in anchors, f"{name}#{anchor}"
