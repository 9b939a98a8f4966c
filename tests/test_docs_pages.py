"""What the pages name is there: tests, commands, options, links, services and their ports."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from headrace.flows.cli import cli
from headrace.infra.stack.services import DEFAULT_PORTS, all_services
from headrace.infra.state.state_dir import Home

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!`)\[[^\]\[]*\]\(([^)\s]+)\)")
COMMON = {"--help", "-h", "--json", "--set", "--config", "--profile"}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Cells of the rows of all tables below their heads."""
    lines = text.splitlines()
    cut = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for before, line in zip(["", *lines], lines, strict=False)
        if line.startswith("| ") and before.startswith("|")
    ]
    return [[cells[0].removeprefix("| "), *cells[1:]] for cells in cut]


def words(code: str) -> list[str]:
    """Words of a command, without `…` and what a reader fills in."""
    return [w for w in shlex.split(code) if w not in ("…",)]


def fault(code: str) -> str | None:
    """What of a `headrace …` command isn't there."""
    _, *rest = words(code)
    if not rest or not rest[0].isalpha():
        return None
    command: click.Command = cli
    known = set(COMMON)
    for word in rest:
        if isinstance(command, click.Group):
            if word not in command.commands:
                return f"no verb {word}"
            command = command.commands[word]
            known |= {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            continue
        if word.startswith("-") and word.split("=")[0] not in known:
            return f"no option {word}"
    return None


def anchors(text: str) -> set[str]:
    """Anchors that GitHub gives to a page's headings."""
    found = set()
    for line in re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines():
        if line.startswith("#"):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip()).lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def test_every_row_of_why_has_a_request_a_figure_or_limit_and_a_test() -> None:
    asked = rows(page("why.md"))
    assert len(asked) >= 12
    for users, answer, figure, test in asked:
        assert re.search(r"https://github\.com/[\w./-]+/issues/\d+", users), users
        assert answer and any(name for _, name in TEST.findall(test)), users
        assert CODE.search(figure) or "the test" in figure, users


def functions(path: Path) -> set[str]:
    return {n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_the_tests_that_a_page_names_exist(path: Path) -> None:
    for file, name in TEST.findall(path.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), file
        assert not name or name in functions(ROOT / file), f"{file}::{name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_the_commands_that_a_page_names_exist(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    commands = [code for code in CODE.findall(text) if code.startswith("headrace ")]
    assert [(c, f) for c in commands if (f := fault(c))] == []


def test_a_verb_or_an_option_that_is_not_there_is_seen() -> None:
    assert fault("headrace curate --input x") is None
    assert fault("headrace clean") == "no verb clean"
    assert fault("headrace curate --inputs x") == "no option --inputs"


def test_the_measurements_that_why_names_can_be_run() -> None:
    commands = [c for c in CODE.findall(page("why.md")) if "pytest" in c and "tests/" in c]
    assert len(commands) >= 8
    for command in commands:
        files = [word for word in words(command) if word.startswith("tests/")]
        assert files and all((ROOT / f.split("::")[0]).exists() for f in files), command
        if name := re.search(r"-k (\w+)", command):
            chosen = re.compile(rf"^def test_\w*{name[1]}", re.MULTILINE)
            assert any(chosen.search((ROOT / f).read_text()) for f in files), command


def test_the_glossary_is_in_alphabetical_order_and_says_where_a_term_is_met() -> None:
    terms = rows(page("glossary.md"))
    names = [cells[0] for cells in terms]
    assert names == sorted(names, key=str.casefold) and len(set(names)) == len(names) >= 40
    for name, meaning, _, met in terms:
        assert meaning.endswith((".", ".)")), name
        assert CODE.search(met) or LINK.search(met) or "MLflow's" in met, name


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_the_links_of_a_page_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file) if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_architecture_shows_each_service_and_port(tmp_path: Path) -> None:
    table, picture = page("architecture.md"), (DOCS / "architecture.svg").read_text()
    for service in all_services(Home(tmp_path), DEFAULT_PORTS, None):
        assert f"`{service.name}`" in table, service.name
        assert service.name in picture, service.name
    picture = picture.replace("8080–8082", "8080 8081 8082")
    for name, port in DEFAULT_PORTS.items():
        assert re.search(rf"\b{port}\b", table), name
        assert re.search(rf"\b{port}\b", picture), name
