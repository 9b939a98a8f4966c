"""Settings as they are listed; by the command: tests/flows/test_looking.py."""

import pytest

from headrace.infra.configuration.settings import Shared
from headrace.infra.errors import UsageError
from headrace.tasks.configuration.listed_settings import check_verb, listed, shown
from headrace.tasks.configuration.settings import GateConfig


def test_each_setting_of_a_verb_has_what_applies_and_its_default() -> None:
    rows = listed("gate", lambda _, model: model.model_validate({"promote": "manual"}))
    assert len({row.key for row in rows}) == len(rows) and {row.verb for row in rows} == {"gate"}
    (promote,) = [row for row in rows if row.key == "promote"]
    assert promote.value == "manual" and promote.default == GateConfig().promote
    assert all(row.meaning and row.kind for row in rows)


def test_what_may_hold_a_token_is_not_shown() -> None:
    given = {"notify": {"webhook": "https://x/t0ken"}}
    rows = listed("status", lambda _, model: model.model_validate(given))
    (webhook,) = [row for row in rows if row.key == "notify.webhook"]
    assert shown(webhook.value) == webhook.value == "…"
    (bare,) = [r for r in listed("status", lambda *_: Shared()) if r.key == "notify.webhook"]
    assert bare.value is None and shown(bare.value) == "null"


def test_all_settings_are_listed_once_under_the_first_verb_that_has_them() -> None:
    rows = listed(None, lambda _, model: model())
    assert len({row.key for row in rows}) == len(rows)
    assert {row.verb for row in rows} == {"run", "deploy", "up"}


def test_an_unknown_verb_is_refused_with_those_there_are() -> None:
    check_verb(None, [])
    check_verb("gate", ["gate"])
    with pytest.raises(UsageError, match="nope: no such verb") as error:
        check_verb("nope", ["gate", "run"])
    assert error.value.hint == "verbs: gate, run"
