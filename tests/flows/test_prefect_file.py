"""What prefect.yaml declares; with a real server: tests/flows/test_deploying.py."""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from headrace.flows.parameters import FormValues, parameters
from headrace.flows.prefect_file import FLOWS, SHIPPED, Entry, flow_of, read_forms
from headrace.infra.errors import UsageError
from headrace.infra.stack.pools import ROLES
from headrace.tasks.configuration.settings import DeployConfig

KEPT = parameters(DeployConfig())
NOTHING = FormValues({}, "headrace", {})
ENTRIES = [form.entry for form in read_forms(SHIPPED, KEPT)]


def test_the_deployments_of_the_contract() -> None:
    names = [form.name for form in read_forms(SHIPPED, KEPT)]
    assert names == ["curate/daily", "monitor/hourly", "retrain/on-drift", "retrain/weekly",
                     "evaluate/on-demand", "lifecycle/on-demand"]  # fmt: skip
    assert {e.work_pool.name for e in ENTRIES} == set(ROLES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.entrypoint}/{e.name}")
def test_each_form_says_what_its_fields_are_for(entry: Entry) -> None:
    flow = flow_of(entry.entrypoint, "here")
    schema = parameter_schema(flow).model_dump_for_openapi()
    assert set(KEPT.flows[flow.name]) <= set(schema["properties"])
    for name, field in schema["properties"].items():
        assert len(field.get("description", "")) > 8, name
    for kind in schema["definitions"].values():
        for name, field in kind.get("properties", {}).items():
            assert field.get("description") or "$ref" in field or "allOf" in field, name


def test_the_pools_of_the_file_are_those_of_the_settings() -> None:
    kept = replace(KEPT, pools={"spark": "cpu", "training": "gpu"})
    assert {form.entry.work_pool.name for form in read_forms(SHIPPED, kept)} == {"cpu", "gpu"}


CURATE = "headrace.flows.curate.curate"


def own(path: Path, **changed: object) -> Path:
    entry = {"name": "x", "entrypoint": CURATE,
             "work_pool": {"name": "spark"}, **changed}  # fmt: skip
    path.write_text(yaml.safe_dump({"name": "ours", "deployments": [entry]}))
    return path


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"schedules": [{"cron": "0 1 * * *", "timezone": "Asia/Shanghai"}]}, None),
        ({"schedules": [{"interval": 60, "timezone": "Asia/Shanghai"}]}, None),
        ({"schedules": [{"rrule": "FREQ=DAILY"}]}, "rrule"),
        ({"schedules": [{"cron": "0 1 * * *", "interval": 60}]}, "cron"),
        ({"work_pool": {"nam": "gpu"}}, "work_pool.nam"),
        ({"job_variables": {}}, "job_variables"),
    ],
)
def test_a_file_of_ones_own_is_checked(
    tmp_path: Path, changed: dict[str, object], said: str | None
) -> None:
    path = own(tmp_path / "prefect.yaml", **changed)
    if said is None:
        assert read_forms(path, NOTHING)[0].entry.schedules[0].timezone == "Asia/Shanghai"
    else:
        with pytest.raises(UsageError, match=said):
            read_forms(path, NOTHING)


def test_what_is_no_file_or_no_flow() -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_forms(Path("/none.yaml"), NOTHING)
    for wrong in ("headrace.flows.retrain.Alert", "headrace.flows.scheduled.curate", "curate", ""):
        with pytest.raises(UsageError, match=r"here: .* isn't a flow") as error:
            flow_of(wrong, "here")
        assert "headrace.flows.NAME.NAME; the flows: curate, monitor" in error.value.hint


def test_the_hint_names_the_flows_that_are_shipped() -> None:
    assert {entry.entrypoint for entry in ENTRIES} == {f"headrace.flows.{n}.{n}" for n in FLOWS}


def test_what_only_other_flows_give_is_not_on_the_form() -> None:
    for name, hidden in (("curate", {"job"}), ("retrain", {"job", "chain"})):
        flow = flow_of(f"headrace.flows.{name}.{name}", "here")
        fields = set(parameter_schema(flow).model_dump_for_openapi()["properties"])
        assert set(inspect.signature(flow.fn).parameters) - fields == hidden


@pytest.mark.parametrize(
    ("changed", "said", "hint"),
    [
        ({"parameters": {"settings": {"semantics": {"treshold": 1}}}}, "line 5, column 45: "
         "unknown setting settings.semantics.treshold", "settings.semantics.threshold"),
        ({"parameters": {"settings": {"semantics": {"threshold": 7}}}}, "line 5, column 58", "1"),
        ({"parameters": {"imput": ["x"]}}, "unknown setting imput", "did you mean input?"),
        ({"schedules": [{"cron": "0 2 * *"}]}, "isn't a cron schedule", "five fields"),
        ({"schedules": [{"cron": "0 2 * * *", "timezone": "Mars"}]}, "no timezone 'Mars'", "Asia"),
        ({"entrypoint": "flows.curate"}, "line 4, column 17: flows.curate isn't a flow", "curate"),
        ({"name": "a/b"}, "name = 'a/b'", "Its name below"),
        ({"triggers": 5}, "triggers", "expect"),
        ({"triggers": {"a": 1}}, "triggers", "expect"),
        ({"schedules": 5}, "schedules", "cron"),
        ({"schedules": [{"interval": 0.001}]}, "interval = 0.001", "60"),
        ({"schedules": [{"interval": 1e300}]}, "interval = 1e+300", ""),
        ({"concurrency_limit": 0}, "no run would ever start", "1 or more"),
        ({"concurrency_limit": {"limit": 0}}, "concurrency_limit", "limit"),
    ],
)  # fmt: skip
def test_faults_of_a_deployment_name_line_and_column(
    tmp_path: Path, changed: dict[str, object], said: str, hint: str
) -> None:
    path = tmp_path / "prefect.yaml"
    entry = {"name": "x", "work_pool": {"name": "spark"}, "entrypoint": CURATE, **changed}
    lines = [f"{k}: {json.dumps(v)}" for k, v in entry.items()]
    path.write_text("deployments:\n  - " + "\n    ".join(lines) + "\n")
    with pytest.raises(UsageError) as error:
        read_forms(path, NOTHING)
    assert said in error.value.message and hint in error.value.hint


def test_parameters_of_a_deployment_change_what_they_name_and_no_more(tmp_path: Path) -> None:
    defaults = parameters(DeployConfig.model_validate({"curate": {"bias": {"threshold": 0.2}}}))
    given = {"settings": {"semantics": {"threshold": 0.8}, "domain": {"targets": {"legal": 0.5}}}}
    path = own(tmp_path / "prefect.yaml", parameters=given)
    (form,) = read_forms(path, defaults)
    was: Any = dict(defaults.flows["curate"])["settings"]
    now: Any = form.parameters["settings"]
    assert now["semantics"]["threshold"] == 0.8 and now["bias"]["threshold"] == 0.2
    assert now["domain"]["targets"] == {"legal": 0.5}, "a mapping that is a value replaces"
    rest = {"semantics", "domain"}
    assert {k: v for k, v in now.items() if k not in rest} == {
        k: v for k, v in was.items() if k not in rest
    }


def test_two_deployments_of_one_name_are_refused(tmp_path: Path) -> None:
    path = own(tmp_path / "prefect.yaml")
    both = yaml.safe_load(path.read_text())["deployments"] * 2
    path.write_text(json.dumps({"deployments": both}))
    with pytest.raises(UsageError, match="two deployments are called curate/x"):
        read_forms(path, NOTHING)


@pytest.mark.parametrize("whole", [5, "x", None, {}, [5], [[]], [{}], [{"triggers": [5]}]])
def test_what_is_no_list_of_deployments_is_refused(tmp_path: Path, whole: object) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(yaml.safe_dump({"deployments": whole}))
    with pytest.raises(UsageError, match="deployments"):
        read_forms(path, NOTHING)
