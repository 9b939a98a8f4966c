"""Settings of a curation refuse what can't be meant."""

from typing import Any

import pytest

from headrace.infra.configuration.settings import build
from headrace.infra.errors import UsageError
from headrace.spark_jobs.settings import CurateJob, CurateSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"semantics": {"treshold": 0.5}},
        {"input": {"fields": {"txt": "content"}}},
        {"input": {"max_unreadable": 2}},
        {"domain": {"targets": {"../up": 0.5}}},
        {"domain": {"targets": {"none": 0.5}}},
        {"dedup": {"threshold": 0}},
        {"rules": ["gopher"]},
    ],
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        build(CurateSettings, wrong)


def test_config_holds_what_decides_and_no_more() -> None:
    job = CurateJob.model_validate({"inputs": [{"uri": "a"}], "output": "o"})
    config = job.config()
    assert "max_unreadable" not in config["input"] and config["seed"] == job.seed
    assert not {"spark", "output", "inputs"} & config.keys()
