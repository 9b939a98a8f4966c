"""Work pools: nothing of a run's process but its name is a run's to choose."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from headrace.infra.errors import HeadraceError
from headrace.infra.stack import pools
from headrace.infra.stack.pools import TEMPLATE, Pool, PoolsSettings

OURS = PoolsSettings(training=Pool(name="gpu", type="kubernetes"))


def test_a_run_gives_neither_command_nor_environment() -> None:
    from prefect.utilities.templating import apply_values
    from prefect.workers.process import ProcessJobConfiguration

    asked = {"command": "id", "env": {"LD_PRELOAD": "/x.so"}, "working_dir": "/tmp", "name": "n"}
    values = apply_values(TEMPLATE["job_configuration"], {**asked, "stream_output": False})
    made = ProcessJobConfiguration(**values)
    assert made.command is None and made.env == {} and made.working_dir is None
    assert made.name == "n"
    assert TEMPLATE["variables"]["additionalProperties"] is False
    said = json.dumps(TEMPLATE["job_configuration"])
    assert all(f"{{{{ {name} }}}}" not in said for name in ("command", "env", "working_dir"))


@pytest.mark.parametrize("own", [True, False])
def test_pools_are_made_where_they_are_missing(json_server: Callable[..., Any], own: bool) -> None:
    with json_server(lambda *_: (409, None)) as (url, got):
        if own:
            with pytest.raises(Exception, match="PATCH"):  # the test's server knows POST only
                pools.make(url, OURS, own)
        else:
            pools.make(url, OURS, own)
            assert [(b["name"], b["type"]) for _, b in got] == [
                ("spark", "process"), ("gpu", "kubernetes")
            ]  # fmt: skip
            assert "base_job_template" not in got[1][1], "its own type's"
        assert got[0][1]["base_job_template"] == TEMPLATE and got[0][1]["concurrency_limit"] == 1


def test_a_pool_without_a_worker_is_named(json_server: Callable[..., Any]) -> None:
    workers = {"gpu%201": [], "old": [{"status": "OFFLINE"}], "on": [{"status": "ONLINE"}]}
    kinds = {"push": "ecs:push", "managed": "prefect:managed"}

    def answer(path: str, _: Any) -> tuple[int, Any]:
        name = path.split("/")[2]
        if path.startswith("/deployments/name/"):
            there = path == "/deployments/name/curate/daily%20run"
            return (200, {"work_pool_name": "gpu 1"}) if there else (404, None)
        if path.endswith("/workers/filter"):
            return 200, workers[name]
        return (404, None) if name == "none" else (200, {"type": kinds.get(name, "process")})

    with json_server(answer) as (url, _):
        names = {"gpu 1", "old", "on", "none", *kinds}
        assert pools.without_worker(url, names) == ["gpu 1", "old"]
        assert pools.of_deployments(url, ["curate/daily run", "gone/x"]) == {"gpu 1"}


def test_a_pool_with_any_name_that_its_pattern_allows_is_asked_for(
    json_server: Callable[..., Any],
) -> None:
    with json_server(lambda *_: (409, None)) as (url, got):
        pools.make(url, PoolsSettings(spark=Pool(name="a b"), training=Pool(name="中?#")), False)
        with pytest.raises(HeadraceError, match="501"):  # the test's server knows no PATCH
            pools.make(url, PoolsSettings(spark=Pool(name="a b\x01?#中")), True)
        assert [body["name"] for _, body in got] == ["a b", "中?#", "a b\x01?#中"]
