"""Rounds that a deployment runs, as far as they need no server; more: tests/e2e/test_doors.py."""

import pytest

from headrace.flows.rounds import on_window
from headrace.infra.errors import UsageError
from headrace.tasks.settings import RetrainVerb


def test_without_a_champion_there_is_nothing_to_teach() -> None:
    with pytest.raises(UsageError, match="no champion"):
        on_window(None, False, RetrainVerb())
