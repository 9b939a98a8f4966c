"""What is told of a run that ends badly."""

import pytest
from prefect.states import Crashed, Failed

from headrace.flows.run_states import RunState, _reason, again, ended
from headrace.infra.errors import InputError


def test_the_command_that_resumes_retries_the_very_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    said = again("11111111-2222-3333-4444-555555555555")
    assert said.startswith("PREFECT_API_URL=http://127.0.0.1:4200/api /")
    assert said.endswith("/prefect flow-run retry 11111111-2222-3333-4444-555555555555")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "headrace:secret")
    monkeypatch.setenv("HEADRACE_OWN_SERVERS", '["http://127.0.0.1:4200/api"]')
    said = again("11111111-2222-3333-4444-555555555555")
    assert said.startswith('eval "$(HEADRACE_HOME=') and "secret" not in said


def test_the_reason_is_the_error_s_own_sentence() -> None:
    error = InputError("/w: no such file", "check the path")
    assert _reason(Failed(data=error, message="Flow run encountered …")) == "/w: no such file"
    assert _reason(Failed(data=ValueError("x\ny"))) == "ValueError: x"
    assert "ended" in _reason(Crashed())


def test_a_finished_run_says_what_came_of_it() -> None:
    state = ended(RunState.REFUSED, "old text\n is worse")
    assert state.is_completed() and state.name == "Refused" and state.message == "old text is worse"
