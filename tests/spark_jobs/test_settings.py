"""Settings of a curation refuse what can't be meant."""

import subprocess
import sys
from typing import Any

import pytest

from headrace.infra.configuration.settings import build
from headrace.infra.errors import UsageError
from headrace.spark_jobs.levels import LEVELS
from headrace.spark_jobs.levels.l1_format import FORMAT
from headrace.spark_jobs.levels.l5_domain import DOMAIN
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
    config: dict[str, Any] = job.config()
    assert "max_unreadable" not in config["input"] and config["seed"] == job.seed
    assert not {"spark", "output", "inputs"} & config.keys()


def test_each_level_has_a_section_and_is_called_with_it() -> None:
    settings = build(
        CurateSettings,
        {
            "input": {"languages": ["fr"]},
            "format": {"min_length": 9},
            "domain": {"targets": {"legal": 0.6}},
        },
    )
    assert {level.name for level in LEVELS} <= {*CurateSettings.model_fields}
    assert settings.of(DOMAIN).targets == {"legal": 0.6}
    called = settings.of(FORMAT)
    assert (called.min_length, called.languages) == (9, ("fr",))


def test_settings_are_read_before_anything_slow_is_loaded() -> None:
    code = "import sys, headrace.spark_jobs.settings; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pyarrow", "numba", "pandas"} & {*run.stdout.split()}
