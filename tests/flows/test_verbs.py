"""The verbs by what they are about; what they answer: tests/flows/test_cli.py, tests/e2e."""

import importlib
import pkgutil
from pathlib import Path

import click
import pytest

from headrace.flows import verbs as package
from headrace.flows.cli import cli
from headrace.flows.verbs.inspection import settings_
from headrace.flows.verbs.places import release_folder, there
from headrace.infra.errors import InputError, UsageError

GROUPS = {
    info.name: importlib.import_module(f"{package.__name__}.{info.name}")
    for info in pkgutil.iter_modules(package.__path__)
    if info.name != "places"
}


def test_the_command_has_the_verbs_of_every_group_once_in_the_order_of_the_chain() -> None:
    names = [name for module in GROUPS.values() for name in module.verbs.commands]
    assert sorted(names) == sorted(cli.commands)
    order = [cli.list_commands(click.Context(cli)).index(name) for name in names]
    assert len(set(order)) == len(order)
    chain = ["run", "curate", "tokenize", "pretrain", "align", "evaluate", "gate", "monitor"]
    assert [name for name in cli.commands if name in chain] == chain


def test_a_place_where_nothing_is_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        there(str(tmp_path / "none.jsonl"))
    text = tmp_path / "a.jsonl"
    text.write_text('{"text": "one"}\n')
    assert there(text.as_uri()) == str(text)
    with pytest.raises((InputError, UsageError)):
        release_folder(str(tmp_path / "none"))


def test_a_shell_completes_the_verbs_of_the_whole_command() -> None:
    root = click.Context(cli, info_name="headrace")
    (argument,) = [p for p in settings_.params if isinstance(p, click.Argument)]
    words = argument.shell_complete(click.Context(settings_, parent=root), "re")
    assert [word.value for word in words] == ["replay", "retrain", "receive", "restore"]
