"""Work pools: nothing of a run's process but its name is a run's to choose."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from headrace.infra import pools
from headrace.infra.pools import TEMPLATE, Pool, PoolsSettings

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
