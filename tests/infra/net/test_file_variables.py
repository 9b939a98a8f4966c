"""Variables that name files mean the same from every working directory."""

import os
from pathlib import Path

import pytest

from headrace.infra import audit_key
from headrace.infra.net import credentials
from headrace.infra.net.file_variables import absolute
from headrace.infra.stack import database
from headrace.infra.stack.services import PASSED

NAMES_A_FILE = [
    *(name for name in credentials.VARIABLES if name.endswith("_FILE")),
    audit_key.VARIABLE,
    f"{database.VARIABLE}_FILE",
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HADOOP_CONF_DIR", "JAVA_HOME"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "XDG_CACHE_HOME", "TORCH_HOME", "TMPDIR"),
    *("PREFECT_API_SSL_CERT_FILE", "MLFLOW_TRACKING_SERVER_CERT_PATH"),
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
]


@pytest.mark.parametrize("name", NAMES_A_FILE)
def test_a_relative_path_becomes_absolute(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute({name: "secrets/pw"}) == {name: str(tmp_path / "secrets" / "pw")}
    assert absolute({name: "/etc/pw"}) == {name: "/etc/pw"}
    assert absolute({name: ""}) == {name: ""}
    assert absolute({name: "/with:colon"}) == {name: "/with:colon"}


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH", "KUBECONFIG", "SSL_CERT_DIR"])
def test_each_place_of_a_list_becomes_absolute(name: str) -> None:
    here = os.getcwd()
    assert absolute({name: ".venv/bin:/usr/bin::x"}) == {
        name: f"{here}/.venv/bin:/usr/bin::{here}/x"
    }


def test_what_names_no_file_stays() -> None:
    others = {name: "a/b" for name in PASSED if name not in ("PATH", "LD_LIBRARY_PATH")}
    others = {n: v for n, v in others.items() if absolute({n: v}) == {n: v}}
    assert {"LANG", "TZ", "HTTP_PROXY", "CUDA_VISIBLE_DEVICES", "NO_PROXY"} <= others.keys()
    assert absolute({"MODEL_PATH": "s3://b/k"}) == {"MODEL_PATH": "s3://b/k"}
