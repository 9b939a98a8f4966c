"""Servers by the variables of their own clients: whose they are, and what they are shown."""

import base64
import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_server import raw_server

from headrace.infra import storage
from headrace.infra.errors import HeadraceError, UsageError
from headrace.infra.net import servers
from headrace.infra.net.servers import Server
from headrace.infra.stack.prefect_api import request
from headrace.infra.state.state_dir import home
from headrace.infra.tracking.runs import Tracking

PREFECT = {"PREFECT_API_URL": "http://prefect.example:4200/api"}
MLFLOW = {"MLFLOW_TRACKING_URI": "http://mlflow.example:5000"}


def basic(word: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(word.encode()).decode()}"}


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"PREFECT_API_AUTH_STRING": "admin:p w"}, basic("admin:p w")),
        ({"PREFECT_API_KEY": "pnu_1"}, {"Authorization": "Bearer pnu_1"}),
        ({"PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Proxy": "a"}'}, {"X-Proxy": "a"}),
        # MLflow's are not for Prefect.
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, {}),
    ],
)
def test_what_prefect_is_shown(variables: dict[str, str], headers: dict[str, str]) -> None:
    found = servers.their_prefect(PREFECT | variables)
    assert found is not None and found.headers == headers and not found.own
    assert (
        servers.joined_prefect(PREFECT | variables, PREFECT["PREFECT_API_URL"]).headers == headers
    )
    assert servers.joined_prefect(PREFECT | variables, "http://elsewhere/api").headers == {}


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p:1"}, basic("u:p:1")),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, {"Authorization": "Bearer t"}),
        ({"PREFECT_API_AUTH_STRING": "admin:pw"}, {}),
    ],
)
def test_what_mlflow_is_shown(variables: dict[str, str], headers: dict[str, str]) -> None:
    found = servers.their_mlflow(MLFLOW | variables)
    assert found is not None and found.headers == headers and not found.own


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("http://h:4200/api", "http://h:4200"),
        ("https://h/prefect/api/", "https://h/prefect"),
        (
            "https://api.prefect.cloud/api/accounts/1a/workspaces/2b",
            "https://app.prefect.cloud/account/1a/workspace/2b",
        ),
    ],
)
def test_the_page_that_belongs_to_an_api(api: str, page: str) -> None:
    found = servers.their_prefect({"PREFECT_API_URL": api})
    assert found is not None and found.page == page


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="not the address"):
        servers.their_prefect({"PREFECT_API_URL": "localhost:4200"})
    assert servers.their_prefect({"PREFECT_API_URL": ""}) is None
    database = servers.their_mlflow({"MLFLOW_TRACKING_URI": "postgresql://u:p@h/m"})
    assert database is not None and database.page is None


def test_what_headrace_has_joined_is_not_taken_for_anothers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_UI_URL", "HEADRACE_OWN_SERVERS", "PREFECT_API_KEY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "of:another")
    own = servers.own_prefect("http://127.0.0.1:4200/api", None)
    servers.join(own)
    assert os.environ["PREFECT_API_URL"] == own.url and servers.their_prefect(os.environ) is None
    assert "PREFECT_API_AUTH_STRING" not in os.environ, "it was for another server"
    monkeypatch.setenv("PREFECT_API_URL", "http://theirs.example/api")
    assert servers.their_prefect(os.environ) is not None


def test_what_a_child_finds_names_headraces_own() -> None:
    own = servers.own_mlflow("http://127.0.0.1:5000", "secret")
    theirs = servers.their_prefect({**PREFECT, "PREFECT_API_KEY": "k", "HOME": "/h"})
    assert theirs is not None
    found = servers.environment([theirs, own])
    assert found["PREFECT_API_KEY"] == "k" and found["MLFLOW_TRACKING_PASSWORD"] == "secret"
    assert "HOME" not in found and json.loads(found[servers.OWN]) == [own.url]
    assert "secret" not in repr(own)


@pytest.mark.parametrize(
    ("status", "said"), [(200, None), (401, "refuses the credentials"), (404, "answers 404")]
)
def test_a_server_is_checked_with_its_credentials(
    json_server: Callable[..., Any], status: int, said: str | None
) -> None:
    with json_server(lambda *_: (status, [])) as (url, got):
        server = Server(f"{url}/api", url, {"PREFECT_API_KEY": "k"}, own=False)
        if said is None:
            servers.check_prefect(server)
        else:
            with pytest.raises(UsageError, match=said):
                servers.check_prefect(server)
        assert got[0][0] == "/api/flows/filter"


def test_a_server_that_is_gone_is_named() -> None:
    for check, url in ((servers.check_prefect, "http://127.0.0.1:1/api"),
                       (servers.check_mlflow, "http://127.0.0.1:1")):  # fmt: skip
        with pytest.raises(UsageError, match=r"127\.0\.0\.1:1") as error:
            check(Server(url, url, {}, own=False))
        assert "does not answer" in error.value.message


@pytest.mark.parametrize("said", ["http://h:4200/api/", "http://h:4200/api//"])
def test_a_slash_at_the_end_of_an_address_says_nothing(said: str) -> None:
    prefect = servers.their_prefect({"PREFECT_API_URL": said})
    mlflow = servers.their_mlflow({"MLFLOW_TRACKING_URI": said})
    assert prefect is not None and mlflow is not None
    assert prefect.url == mlflow.url == "http://h:4200/api"
    assert prefect.variables["PREFECT_API_URL"] == mlflow.variables["MLFLOW_TRACKING_URI"]
    assert servers.joined_prefect(
        {"PREFECT_API_URL": said, "PREFECT_API_KEY": "k"}, prefect.url
    ).headers


def test_a_login_in_an_address_goes_into_the_header_and_is_shown_nowhere() -> None:
    word = "al%40ice:s3cr%2Ft"
    prefect = servers.their_prefect(
        {"PREFECT_API_URL": f"https://{word}@h:1/api", "PREFECT_API_KEY": "of another"}
    )
    mlflow = servers.their_mlflow({"MLFLOW_TRACKING_URI": f"https://{word}@h:1/x"})
    assert prefect is not None and mlflow is not None
    for server, url in ((prefect, "https://h:1/api"), (mlflow, "https://h:1/x")):
        assert server.url == url and server.headers == basic("al@ice:s3cr/t")
        assert "s3cr" not in f"{server!r}{server.url}{server.page}"
    assert "PREFECT_API_KEY" not in prefect.variables


@pytest.mark.parametrize(
    "url",
    [
        "h:5000", "mlflow", "/srv/mlruns", "http://", "http://[::1", "http://h:port",
        "http://h:0", "http://h/ x", "ftp://h", "http://u:s3cr3t@[::1", "http://u:s3/cr3t@h:x",
        "http://h/?token=s3cr3t", "databricks", "databricks://u:s3cr3t@x", "zzz://u:s3cr3t@h",
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["PREFECT_API_URL", "MLFLOW_TRACKING_URI"])
def test_an_address_of_no_server_is_refused_without_its_password(url: str, variable: str) -> None:
    read = {
        "PREFECT_API_URL": servers.their_prefect, "MLFLOW_TRACKING_URI": servers.their_mlflow,
    }[variable]  # fmt: skip
    with pytest.raises(UsageError) as error:
        read({variable: url})
    assert variable in error.value.message and "cr3t" not in error.value.message


def test_the_folders_own_store_and_stack_are_own_whoever_names_them() -> None:
    place = home()
    store = {"MLFLOW_TRACKING_URI": place.mlflow_uri}
    assert servers.their_mlflow(store) is None
    said = {"home": str(place.root), "prefect_api": "http://127.0.0.1:4300/api",
            "tracking_uri": "http://127.0.0.1:5300",
            "services": [{"name": "prefect"}, {"name": "mlflow"}]}  # fmt: skip
    named = {"PREFECT_API_URL": "http://localhost:4300/api/",
             "MLFLOW_TRACKING_URI": "http://127.0.0.1:5300/"}  # fmt: skip
    assert servers.their_prefect(named) and servers.their_mlflow(named)
    storage.write_json(place.stack / "stack.json", said)
    assert servers.their_prefect(named) is None and servers.their_mlflow(named) is None
    # Of a copied folder the record is the original's.
    storage.write_json(place.stack / "stack.json", {**said, "home": "/elsewhere"})
    assert servers.their_prefect(named) and servers.their_mlflow(named)


def test_what_artifacts_need_goes_to_the_workers_and_what_a_server_reads_does_not() -> None:
    wanted = {
        "MLFLOW_S3_ENDPOINT_URL": "http://s3", "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "9", "AZURE_STORAGE_ACCESS_KEY": "k",
        "MLFLOW_EXPERIMENT_NAME": "e", "MLFLOW_TRACKING_INSECURE_TLS": "true",
    }  # fmt: skip
    files = {"GOOGLE_APPLICATION_CREDENTIALS": "g.json", "REQUESTS_CA_BUNDLE": "ca.pem"}
    servers_own = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "x", "MLFLOW_AUTH_CONFIG_PATH": "x",
                   "MLFLOW_RUN_ID": "x", "MLFLOW_BACKEND_STORE_URI": "x"}  # fmt: skip
    found = servers.their_mlflow({**MLFLOW, **wanted, **files, **servers_own, "HOME": "/h"})
    assert found is not None
    absolute = {k: os.path.abspath(v) for k, v in files.items()}
    assert found.variables == {**MLFLOW, **wanted, **absolute}


def test_mlflows_own_files_let_the_check_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = u\nmlflow_tracking_password = p\n"
    )
    found = servers.their_mlflow(MLFLOW)
    assert found is not None and found.headers == basic("u:p")
    named = servers.their_mlflow({**MLFLOW, "MLFLOW_TRACKING_PASSWORD": "q"})
    assert named is not None and named.headers == basic("u:q")
    for name in ("REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        server = servers.their_mlflow({**MLFLOW, name: str(tmp_path / "none.pem")})
        assert server is not None
        with pytest.raises(UsageError, match=name):
            servers.check_mlflow(server)


def test_a_second_registry_is_refused_and_the_experiments_name_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="MLFLOW_REGISTRY_URI"):
        servers.their_mlflow({**MLFLOW, "MLFLOW_REGISTRY_URI": "http://u:s3cr3t@other"})
    assert servers.their_mlflow({**MLFLOW, "MLFLOW_REGISTRY_URI": MLFLOW["MLFLOW_TRACKING_URI"]})
    assert servers.experiment_name({**MLFLOW, "MLFLOW_EXPERIMENT_NAME": "/team/x"}) == "/team/x"
    assert servers.experiment_name({"MLFLOW_EXPERIMENT_NAME": "/team/x"}) == "headrace"


@pytest.mark.parametrize("headers", ["{", "[]", '{"a": 1}', "x"])
def test_headers_that_are_none_are_refused(headers: str) -> None:
    with pytest.raises(UsageError, match="PREFECT_CLIENT_CUSTOM_HEADERS"):
        servers.their_prefect({**PREFECT, "PREFECT_CLIENT_CUSTOM_HEADERS": headers})


def test_own_servers_that_refuse_name_their_own_password(json_server: Callable[..., Any]) -> None:
    with json_server(lambda *_: (401, [])) as (url, _):
        for own, named in ((True, "HEADRACE_PREFECT_PASSWORD_FILE"), (False, "PREFECT_API_KEY")):
            with pytest.raises(UsageError, match="refuses the credentials") as error:
                servers.check_prefect(Server(f"{url}/api", url, {}, own=own))
            assert named in error.value.hint


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>log in</html>", b""]
)
def test_what_is_no_server_of_prefect_or_mlflow_is_said(answer: bytes) -> None:
    with raw_server(answer) as url:
        for check in (servers.check_prefect, servers.check_mlflow):
            with pytest.raises(UsageError, match=r"does not answer|answers with a web page"):
                check(Server(url, url, {}, own=False))
        with pytest.raises(HeadraceError, match=r"does not answer|answers with a web page"):
            request(url, "POST", "/flows/filter", {})


def test_behind_a_private_authority_the_check_and_the_tracking_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    pair = tmp_path / "both.pem"
    pair.write_bytes(key.read_bytes() + cert.read_bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
    context.load_cert_chain(pair)
    context.verify_mode = ssl.CERT_REQUIRED  # of whoever comes in too

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        assert not Tracking(home(), url, own=False).answers()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(pair))
        found = servers.their_mlflow(os.environ)
        assert found is not None
        servers.check_mlflow(found)
        assert Tracking(home(), url, own=False).answers()
    finally:
        server.shutdown()
        server.server_close()
