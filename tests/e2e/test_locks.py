"""What `headrace up` starts, tried as another account and as a web page elsewhere: all refused."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

pytestmark = [pytest.mark.server, pytest.mark.spark]

JSON = {"content-type": "application/json"}
FOREIGN = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
UNLOCKED = {"/api/health", "/api/ready", "/health"}
"""Say whether a server is well, and nothing else."""


@dataclass
class Locked:
    """A stack on a new state folder, and what its owner knows."""

    home: Path
    services: dict[str, dict[str, Any]]
    ports: dict[str, int]
    variables: dict[str, str]

    @property
    def prefect(self) -> str:
        return self.variables["PREFECT_API_URL"].removesuffix("/api")

    @property
    def mlflow(self) -> str:
        return self.variables["MLFLOW_TRACKING_URI"]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, headrace: Any) -> Iterator[Locked]:
    home = tmp_path_factory.mktemp("locked") / "home"
    try:
        code, said, err = headrace(home, "up")
        assert code == 0, err
        ports = json.loads((home / "stack" / "stack.json").read_text())["ports"]
        variables = headrace(home, "env")[1]
        yield Locked(home, {s["name"]: s for s in said["services"]}, ports, variables)
    finally:
        headrace(home, "down")


def ask(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, body: str | None = None
) -> int:
    """The status that a request gets."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    try:
        path = where.path + (f"?{where.query}" if where.query else "")
        connection.request(method, path or "/", body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def owner(locked: Locked, service: str) -> dict[str, str]:
    from headrace.infra.servers import Server

    return Server("", None, {k: v for k, v in locked.variables.items() if k.startswith(service)},
                  own=True).headers  # fmt: skip


def routes(locked: Locked) -> list[tuple[str, str]]:
    """(method, URL) of every route of Prefect and MLflow."""
    found = []
    where = urlsplit(locked.prefect)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
    connection.request("GET", "/openapi.json", headers=owner(locked, "PREFECT_API"))
    answer = connection.getresponse()
    assert answer.status == 200
    for path, methods in json.load(answer)["paths"].items():
        if path not in UNLOCKED:
            path = re.sub(r"\{[^}]*\}", "00000000-0000-4000-8000-000000000000", path)
            found += [(method.upper(), f"{locked.prefect}{path}") for method in methods]
    connection.close()
    from mlflow.server.handlers import get_endpoints

    for path, _, methods in get_endpoints():
        path = re.sub(r"<[^>]*>", "x", path)
        found += [(method, f"{locked.mlflow}{path}") for method in methods]
    places = ("/", "/metrics", "/version", "/static-files/x", "/get-artifact?path=a&run_uuid=b")
    found += [("GET", f"{locked.mlflow}{p}") for p in places]
    places = ("/", "/v2/", "/docs", "/ui-settings")
    return found + [("GET", f"{locked.prefect}{p}") for p in places]


def test_no_route_answers_a_stranger_or_a_page_elsewhere(locked: Locked) -> None:
    every = routes(locked)
    assert len(every) > 300
    let_in = []
    for method, url in every:
        name = "PREFECT_API" if url.startswith(locked.prefect) else "MLFLOW"
        for who, headers in (
            ("a stranger", JSON),
            ("a page", FOREIGN | {"content-type": "text/plain"}),
            # Even with the password, which a browser may send along.
            ("a page let in", FOREIGN | JSON | owner(locked, name)),
            ("a renamed host", JSON | owner(locked, name) | {"host": "evil.example"}),
        ):
            body = "{}" if method in ("POST", "PUT", "PATCH") else None
            status = ask(url, method, headers, body)
            if status not in (401, 403):
                let_in.append((who, method, url, status))
    assert let_in == []


def test_the_owner_gets_in_with_what_env_prints(locked: Locked) -> None:
    prefect, mlflow = owner(locked, "PREFECT_API"), owner(locked, "MLFLOW")
    assert ask(f"{locked.prefect}/api/flows/filter", "POST", JSON | prefect, "{}") == 200
    search = f"{locked.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(search, headers=mlflow) == 200
    for program in ("prefect flow-run ls", "mlflow experiments search"):
        name, *arguments = program.split()
        path = Path(sys.executable).with_name(name)
        env = {**os.environ, **locked.variables}
        ran = subprocess.run([str(path), *arguments], env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-500:]


def test_the_owners_run_takes_no_command_and_no_environment(locked: Locked) -> None:
    headers = JSON | owner(locked, "PREFECT_API")
    for pool in ("spark", "training"):
        where = urlsplit(locked.prefect)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
        connection.request("GET", f"/api/work_pools/{pool}", headers=headers)
        template = json.load(connection.getresponse())["base_job_template"]
        connection.close()
        assert set(template["variables"]["properties"]) == {"name", "stream_output"}
        assert not template["variables"]["additionalProperties"]


def test_sparks_pages_want_the_password(locked: Locked) -> None:
    from headrace.infra import credentials
    from headrace.infra.home import Home
    from headrace.infra.servers import encoded

    made = credentials.known(Home(locked.home))
    assert made is not None
    word = {"authorization": f"Basic {encoded(f'headrace:{made.spark_password}')}"}
    pages = {k: p for k, p in locked.ports.items() if k.startswith("spark") and k != "spark_master"}
    assert len(pages) == 8
    for name, port in pages.items():
        for path in (
            "/",
            "/json/",
            "/api/v1/applications",
            "/metrics/json/",
            "/static/utils.js",
            "/metrics/master/json/",
            "/metrics/applications/json/",
            "/logPage/?appId=a",
        ):
            url = f"http://127.0.0.1:{port}{path}"
            assert ask(url) in (401, 403), (name, path)
            assert ask(url, headers=word | FOREIGN) == 403, (name, path)
        if not name.endswith("_inner"):
            assert ask(f"http://127.0.0.1:{port}/", headers=word) == 200, name
            assert ask(f"http://127.0.0.1:{port}/app/kill/", "POST", word | JSON) == 405
        else:
            assert ask(f"http://127.0.0.1:{port}/", headers=word) == 403, name


JOB = """
import sys
from pyspark.sql import SparkSession as S
s = (S.builder.master(sys.argv[1]).config("spark.ui.enabled", "false")
     .config("spark.local.dir", sys.argv[2]).config("spark.executor.memory", "512m")
     .config("spark.driver.host", "127.0.0.1").getOrCreate())
print("RAN", s.sparkContext.parallelize([1], 1).map(lambda x: x + 1).collect())
"""


@pytest.mark.parametrize("secret", [False, True])
def test_sparks_master_runs_only_the_owners_job(
    locked: Locked, tmp_path: Path, secret: bool
) -> None:
    from headrace.infra import spark

    (tmp_path / "job.py").write_text(JOB)
    conf = {"SPARK_CONF_DIR": locked.variables["SPARK_CONF_DIR"]} if secret else {}
    command = [sys.executable, "job.py", locked.services["spark-master"]["address"], str(tmp_path)]
    env = {**os.environ, **spark.environment(), **conf}
    try:
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True,
                             timeout=200 if secret else 60).stdout  # fmt: skip
    except subprocess.TimeoutExpired as late:
        ran = (late.stdout or b"").decode()
    assert ("RAN" in ran) is secret


def test_all_listen_on_loopback(locked: Locked) -> None:
    mine = {s["pid"] for s in locked.services.values()}
    mine |= {c.pid for pid in mine for c in psutil.Process(pid).children(recursive=True)}
    for pid in mine:
        for place in psutil.Process(pid).net_connections("inet"):
            if place.status == psutil.CONN_LISTEN:
                assert place.laddr.ip.removeprefix("::ffff:") in ("127.0.0.1", "::1"), (pid, place)


def test_another_account_reads_nothing_of_the_state_folder(locked: Locked) -> None:
    assert stat.S_IMODE(locked.home.stat().st_mode) == 0o700
    open_to_others = [
        str(p) for p in locked.home.rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o077
    ]
    assert open_to_others == [], "if the folder were opened, they would be read"
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be another account")
    locked.home.parent.chmod(0o755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    seen = subprocess.run([*as_nobody, "find", str(locked.home), "-readable"], capture_output=True,
                          text=True)  # fmt: skip
    assert seen.stdout == ""


def test_no_process_shows_a_secret_to_other_accounts(locked: Locked) -> None:
    secrets = json.loads((locked.home / "stack" / "secrets.json").read_text()).values()
    for service in locked.services.values():
        for process in [psutil.Process(service["pid"]),
                        *psutil.Process(service["pid"]).children(recursive=True)]:  # fmt: skip
            with contextlib.suppress(psutil.Error):  # it has ended
                words = " ".join(process.cmdline())
                assert not any(s in words for s in secrets), process
    logs = [p for p in (locked.home / "logs").rglob("*") if p.is_file()]
    assert logs and not any(s.encode() in p.read_bytes() for p in logs for s in secrets)


def test_the_supervisors_socket_is_the_owners(locked: Locked) -> None:
    from headrace.infra.home import Home
    from headrace.infra.supervisor import socket_path

    path = socket_path(Home(locked.home))
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))


def test_the_services_find_no_token_of_the_shell(locked: Locked) -> None:
    from headrace.infra.services import PASSED, PASSED_BEGINNINGS

    environment = psutil.Process(locked.services["worker-training"]["pid"]).environ()
    strange = {k for k in environment if k in os.environ}
    assert not {k for k in strange if k not in PASSED and not k.startswith(PASSED_BEGINNINGS)
                and k not in ("HEADRACE_HOME", *locked.variables)} - {
        "DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "SUPERVISOR_ENABLED"
    }  # fmt: skip
