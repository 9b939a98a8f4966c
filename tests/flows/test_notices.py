"""What is told of a run that ends badly."""

from typing import Any

import pytest
from prefect.states import Crashed, Failed

from headrace.flows.notices import _command, _reason, ended
from headrace.flows.scheduled import Alert
from headrace.infra.errors import InputError
from headrace.infra.home import home


@pytest.mark.parametrize(
    ("flow", "parameters", "said"),
    [
        ("curate", {"input": ["a b", "c"], "output": "/o"},
         "headrace curate --input 'a b' --input c --output /o"),
        ("lifecycle", {"input": None, "window": None}, "headrace run"),
        ("monitor", {"inbox": "s3://x/in"}, "headrace monitor --inbox s3://x/in"),
        ("retrain", {"alert": {"window": "/w"}}, "headrace retrain --force --window /w"),
        ("retrain", {"alert": Alert(window="/w")}, "headrace retrain --force --window /w"),
        ("evaluate", {"model": "champion"}, "headrace evaluate --model champion"),
    ],
)  # fmt: skip
def test_the_command_that_resumes(flow: str, parameters: dict[str, Any], said: str) -> None:
    assert _command(flow, parameters) == f"HEADRACE_HOME={home().root} {said}"


def test_the_reason_is_the_error_s_own_sentence() -> None:
    error = InputError("/w: no such file", "check the path")
    assert _reason(Failed(data=error, message="Flow run encountered …")) == "/w: no such file"
    assert _reason(Failed(data=ValueError("x\ny"))) == "x"
    assert "ended" in _reason(Crashed())


def test_a_finished_run_says_what_came_of_it() -> None:
    state = ended("Refused", "old text\n is worse")
    assert state.is_completed() and state.name == "Refused" and state.message == "old text is worse"
