"""What prefect.yaml declares; registering it with a real server is in tests/e2e/test_doors.py."""

from pathlib import Path

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from headrace.flows.deployments import SHIPPED, Entry, _defaults, _flow, read_entries
from headrace.infra.errors import UsageError
from headrace.infra.services import POOLS
from headrace.infra.stack import Stack
from headrace.tasks.settings import DeployVerb

UP = Stack("http://p/api", "http://m", "spark://127.0.0.1:7099", "/e", ())
ENTRIES = read_entries(SHIPPED)


def test_the_deployments_of_the_contract() -> None:
    names = [f"{_flow(e.entrypoint).name}/{e.name}" for e in ENTRIES]
    assert names == ["curate/daily", "monitor/hourly", "retrain/on-drift", "retrain/weekly",
                     "evaluate/on-demand", "lifecycle/on-demand"]  # fmt: skip
    assert {e.work_pool.name for e in ENTRIES} == set(POOLS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.entrypoint}/{e.name}")
def test_each_form_says_what_its_fields_are_for(entry: Entry) -> None:
    schema = parameter_schema(_flow(entry.entrypoint)).model_dump_for_openapi()
    assert set(_defaults(DeployVerb(), UP)[_flow(entry.entrypoint).name]) <= set(
        schema["properties"]
    )
    for name, field in schema["properties"].items():
        assert len(field.get("description", "")) > 8, name
    for kind in schema["definitions"].values():
        for name, field in kind.get("properties", {}).items():
            assert field.get("description") or "$ref" in field or "allOf" in field, name


def test_what_deploy_is_told_fills_the_forms() -> None:
    settings = DeployVerb.model_validate(
        {
            "input": ["s3://corpus/in"],
            "inbox": "s3://corpus/new/",
            "settle_seconds": 3,
            "curate": {"bias": {"threshold": 0.2}},
            "retrain": {"cooldown_minutes": 5},
            "notify": {"webhook": "http://127.0.0.1:1/"},
        }
    )
    filled = _defaults(settings, UP)
    assert filled["curate"]["input"] == ["s3://corpus/in"]
    assert filled["curate"]["settings"]["spark"]["master"] == UP.spark_master
    assert filled["curate"]["settings"]["bias"]["threshold"] == 0.2
    assert filled["monitor"]["inbox"] == "s3://corpus/new"
    assert filled["monitor"]["settings"]["inbox"]["settle_seconds"] == 3
    assert filled["retrain"]["settings"]["cooldown_minutes"] == 5
    for flow in filled.values():
        assert flow["settings"]["notify"]["webhook"] is None, "in its page it could be read"
    relative = _defaults(DeployVerb(input=("corpus",), output="out", inbox="in"), UP)
    assert relative["curate"]["input"] == [str(Path("corpus").absolute())]
    assert relative["curate"]["output"] == str(Path("out").absolute())
    assert relative["monitor"]["inbox"] == str(Path("in").absolute())


def own(path: Path, **changed: object) -> Path:
    entry = {"name": "x", "entrypoint": "headrace.flows.scheduled.curate",
             "work_pool": {"name": "spark"}, **changed}  # fmt: skip
    path.write_text(yaml.safe_dump({"name": "ours", "deployments": [entry]}))
    return path


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"schedules": [{"cron": "0 1 * * *", "timezone": "Asia/Shanghai"}]}, None),
        ({"schedules": [{"interval": 60}]}, "interval"),
        ({"work_pool": {"name": "gpu"}}, "gpu"),
        ({"job_variables": {}}, "job_variables"),
    ],
)
def test_a_file_of_ones_own_is_checked(
    tmp_path: Path, changed: dict[str, object], said: str | None
) -> None:
    path = own(tmp_path / "prefect.yaml", **changed)
    if said is None:
        assert read_entries(path)[0].schedules[0].timezone == "Asia/Shanghai"
    else:
        with pytest.raises(UsageError, match=said):
            read_entries(path)


def test_what_is_no_file_or_no_flow() -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_entries(Path("/none.yaml"))
    with pytest.raises(UsageError, match="no flow"):
        _flow("headrace.flows.scheduled.Alert")
