"""What `headrace deploy` compares and checks; with a real server: tests/flows/test_deploying.py."""

from pathlib import Path

import pytest

from headrace.flows.deployments import Edit, _edited, check_places
from headrace.flows.parameters import parameters
from headrace.flows.prefect_file import SHIPPED, read_forms
from headrace.infra.errors import InputError, UsageError
from headrace.tasks.configuration.settings import DeployConfig


def test_the_gates_policy_is_read_when_it_is_deployed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        check_places(DeployConfig.model_validate({"gate": {"policy": "gone.yaml"}}))


def test_an_inbox_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        check_places(DeployConfig(inbox=str(tmp_path / "none")))


def test_only_what_was_edited_elsewhere_is_reported() -> None:
    form = read_forms(SHIPPED, parameters(DeployConfig()))[0]
    before = {**form.parameters, "output": "/of/the/deploy/before"}
    assert _edited(form, before, before) == [], "a setting that changes is no edit"
    there = {**form.parameters, "output": "/elsewhere"}
    assert _edited(form, there, before) == [
        Edit("curate/daily", "output", before="/elsewhere", after=None)
    ]
    assert _edited(form, form.parameters, before) == [], "it is there as it is wanted"
