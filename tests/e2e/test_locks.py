"""What `headrace up` starts, tried as another account and as a web page elsewhere: all refused.

What has to hold while work is done is looked at while a driver, its executors and the ranks of a
training run are at work: this file is their job, started as a flow run starts it.
"""

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
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from another_account import AS_ANOTHER, POSSIBLE
from as_module import as_module

from headrace.infra.configuration.settings import Settings, SparkSettings
from headrace.infra.net.servers import Server
from headrace.infra.spark import submit
from headrace.infra.subprocess_jobs import job_main

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


TOKENS = {"GITHUB_TOKEN": "planted-1", "OPENAI_API_KEY": "planted-2", "PGPASSWORD": "planted-3"}
"""In the shell that calls `up`."""


@pytest.fixture(scope="module")
def locked(headrace: Any) -> Iterator[Locked]:
    # Every account can enter the folders above, as it can't enter pytest's.
    above = Path(tempfile.mkdtemp(prefix="headrace-locked-"))
    above.chmod(0o755)
    home = above / "home"
    try:
        with pytest.MonkeyPatch.context() as shell:
            for name, value in TOKENS.items():
                shell.setenv(name, value)
            code, said, err = headrace(home, "up")
        assert code == 0, err
        ports = json.loads((home / "stack" / "stack.json").read_text())["ports"]
        variables = headrace(home, "env")[1]
        yield Locked(home, {s["name"]: s for s in said["services"]}, ports, variables)
    finally:
        headrace(home, "down")
        shutil.rmtree(above, ignore_errors=True)


class Job(Settings):
    """What is at work while the stack is looked at."""

    folder: str
    """Where each process says that it works; it ends when there is a file `go`."""


def _work_until_told(folder: Path, name: str) -> None:
    (folder / name).touch()
    while not (folder / "go").exists():
        time.sleep(0.2)


def drive(job: Job) -> dict[str, Any]:
    """A driver with two executors that compute and have shuffled."""
    from headrace.infra.spark import session as spark

    folder = job.folder
    settings = SparkSettings(
        master=os.environ["LOCKED_MASTER"], driver_memory="512m", executor_memory="512m"
    )
    session = spark.session(settings)
    numbers = session.sparkContext.parallelize(range(8), 2)
    assert numbers.map(lambda x: (x % 2, x)).reduceByKey(lambda a, b: a + b).count() == 2

    def wait(rows: Iterable[int]) -> Iterator[int]:
        import time
        from pathlib import Path

        Path(folder, f"executor-{next(iter(rows))}").touch()
        while not Path(folder, "go").exists():
            time.sleep(0.2)
        yield 1

    return {"did": numbers.mapPartitions(wait).sum()}


def train(job: Job) -> dict[str, Any]:
    """A rank that has exchanged tensors with the other."""
    import torch

    from headrace.training.distributed import Ranks
    from headrace.training.engine import Engine
    from headrace.training.optimizer import build_optimizer
    from headrace.training.settings import OptimizerSettings

    ranks, model = Ranks.current(), torch.nn.Linear(3, 1)
    optimizer = build_optimizer(model, OptimizerSettings())
    with Engine(model, optimizer, ranks=ranks) as engine:
        engine.step(model(torch.ones(1, 3)).sum())
        ranks.mean(1.0)
        _work_until_told(Path(job.folder), f"rank-{ranks.rank}")
    return {}


RUN = """
import sys
from pathlib import Path
from headrace.infra.spark import submit
from headrace.infra.state import private
from headrace.infra.state.state_dir import home
from headrace.infra.subprocess_jobs import run_job
from headrace.infra.configuration.settings import SparkSettings
from at_work import Job
private.begin(home())
what, module, folder, master = sys.argv[1:]
job = Job(folder=folder)
if what == "drive":
    submit.run(module, job, SparkSettings(master=master, driver_memory="512m"))
else:
    run_job("at_work", job, Path(folder) / "run", processes=2)
"""


@pytest.fixture(scope="module")
def at_work(locked: Locked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[int]]:
    """Ids of all processes of the stack, and of a driver, executors and ranks that use it."""
    folder = tmp_path_factory.mktemp("at work")
    module, master = folder / "at_work.py", locked.services["spark-master"]["address"]
    env = {**os.environ, **locked.variables, "HEADRACE_HOME": str(locked.home)}
    env |= {"PYTHONPATH": as_module(__file__, "at_work", folder), "LOCKED_MASTER": master}
    command = [sys.executable, "-c", RUN]
    with open(folder / "log", "wb") as log:
        runs = [
            subprocess.Popen([*command, what, str(module), str(folder), master], env=env,
                             stdout=log, stderr=log)
            for what in ("drive", "train")
        ]  # fmt: skip
    try:
        busy = {"rank-0", "rank-1", "executor-0", "executor-4"}
        end = time.monotonic() + 400
        while not busy <= {p.name for p in folder.iterdir()}:
            ended = [p.args for p in runs if p.poll() is not None]
            assert not ended and time.monotonic() < end, (folder / "log").read_text()[-2000:]
            time.sleep(0.2)
        record = json.loads((locked.home / "stack" / "stack.json").read_text())
        trees = [record["pid"], *(s["pid"] for s in locked.services.values())]
        found = everything(*trees, *(p.pid for p in runs))
        words = [command_of(pid) for pid in found]
        for part in ("spark_pages", "supervisord", "SparkSubmit", "ExecutorBackend", "job.json"):
            assert any(part in w for w in words), f"{part} isn't looked at"
        yield found
    finally:
        (folder / "go").touch()
        for run in runs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(60)
            run.kill()
            run.wait()


def command_of(pid: int) -> str:
    """A process's command line, empty where it has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def everything(*roots: int) -> set[int]:
    """Processes, and all that descend from them."""
    found = [p for root in roots for p in (psutil.Process(root), *_below(root))]
    return {p.pid for p in found}


def _below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


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
    return Server("", None, {k: v for k, v in locked.variables.items() if k.startswith(service)},
                  own=True).headers  # fmt: skip


def routes(locked: Locked) -> list[tuple[str, str]]:
    """(method, URL) of the HTTP routes of Prefect and MLflow, but health checks.

    As Prefect's server and MLflow's two applications, FastAPI's and the Flask one below it, list
    them.
    """
    from mlflow.server import app as flask
    from mlflow.server.fastapi_app import app as fastapi

    found: list[tuple[str, str, str]] = []
    for site, paths in ((locked.prefect, prefects_paths(locked)),
                        (locked.mlflow, fastapi.openapi()["paths"])):  # fmt: skip
        assert len(paths) > 40
        found += [(m.upper(), site, path) for path, methods in paths.items() for m in methods]
    for rule in flask.url_map.iter_rules():
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        found += [(m, locked.mlflow, re.sub(r"<[^>]*>", "{x}", rule.rule)) for m in methods]
    number = "00000000-0000-4000-8000-000000000000"
    every = {
        (method, site + re.sub(r"\{[^}]*\}", number, path))
        for method, site, path in found
        if path not in UNLOCKED
    }
    places = ("/", "/metrics", "/version", "/static-files/x", "/get-artifact?path=a&run_uuid=b",
              "/docs", "/redoc", "/openapi.json")  # fmt: skip
    every |= {("GET", f"{locked.mlflow}{p}") for p in places}
    every |= {("GET", f"{locked.prefect}{p}") for p in ("/", "/v2/", "/docs", "/ui-settings")}
    return sorted(every)


def prefects_paths(locked: Locked) -> dict[str, dict[str, Any]]:
    """{path: {method: …}} as Prefect's server describes itself."""
    where = urlsplit(locked.prefect)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
    try:
        connection.request("GET", "/openapi.json", headers=owner(locked, "PREFECT_API"))
        answer = connection.getresponse()
        assert answer.status == 200
        paths: dict[str, dict[str, Any]] = json.load(answer)["paths"]
        return paths
    finally:
        connection.close()


def test_no_route_answers_a_stranger_or_a_page_elsewhere(locked: Locked) -> None:
    every = routes(locked)
    assert len(every) > 500
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
    from headrace.infra.net import credentials
    from headrace.infra.net.servers import encoded
    from headrace.infra.state.state_dir import Home

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
    from headrace.infra.spark import session

    (tmp_path / "job.py").write_text(JOB)
    conf = {"SPARK_CONF_DIR": locked.variables["SPARK_CONF_DIR"]} if secret else {}
    command = [sys.executable, "job.py", locked.services["spark-master"]["address"], str(tmp_path)]
    env = {**os.environ, **session.environment(), **conf}
    try:
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True,
                             timeout=200 if secret else 60).stdout  # fmt: skip
    except subprocess.TimeoutExpired as late:
        ran = (late.stdout or b"").decode()
    assert ("RAN" in ran) is secret


def test_all_listen_on_loopback(at_work: set[int]) -> None:
    listening = set()
    for pid in at_work:
        places = []
        with contextlib.suppress(psutil.NoSuchProcess):
            places = psutil.Process(pid).net_connections("inet")
        for place in places:
            if place.status == psutil.CONN_LISTEN:
                assert place.laddr.ip.removeprefix("::ffff:") in ("127.0.0.1", "::1"), (pid, place)
                listening.add(pid)
    assert len(listening) > 8, "the services, the driver, its executors and the ranks do"


def test_another_account_reads_nothing_of_the_state_folder(locked: Locked) -> None:
    assert stat.S_IMODE(locked.home.stat().st_mode) == 0o700
    open_to_others = [
        str(p)
        for p in locked.home.rglob("*")
        # Spark makes what it ships executable for all, which lets no one read it.
        if not p.is_symlink() and p.stat().st_mode & (0o077 if p.is_dir() else 0o066)
    ]
    assert open_to_others == [], "if the folder were opened, they would be read"
    if not POSSIBLE:
        pytest.skip("only root can be another account")
    found = subprocess.run([*AS_ANOTHER, "find", locked.home, "-readable"], capture_output=True,
                           text=True)  # fmt: skip
    assert found.stdout == "" and "Permission denied" in found.stderr
    listed = subprocess.run([*AS_ANOTHER, "ls", locked.home.parent], capture_output=True, text=True)
    assert listed.stdout == "home\n", "the folder above is open"


def test_no_process_shows_a_secret_to_other_accounts(locked: Locked, at_work: set[int]) -> None:
    secrets = json.loads((locked.home / "stack" / "secrets.json").read_text()).values()
    assert len(secrets) == 4
    commands = [command_of(pid) for pid in at_work]
    assert sum(map(bool, commands)) > 15
    assert [c for c in commands if any(s in c for s in secrets)] == []
    # What is kept to be read, logs and Spark's events, may be passed on.
    kept = [p for place in ("logs", "spark") for p in (locked.home / place).rglob("*")]
    texts = [p.read_bytes() for p in kept if p.is_file()]
    assert len(texts) > 8 and not any(s.encode() in t for t in texts for s in secrets)


def test_the_supervisors_socket_is_the_owners(locked: Locked) -> None:
    from headrace.infra.stack.supervisor import socket_path
    from headrace.infra.state.state_dir import Home

    path = socket_path(Home(locked.home))
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))


def test_the_services_find_no_token_of_the_shell(locked: Locked) -> None:
    record = json.loads((locked.home / "stack" / "stack.json").read_text())
    for pid in everything(record["pid"], *(s["pid"] for s in locked.services.values())):
        with contextlib.suppress(psutil.NoSuchProcess):  # a helper that has ended
            environment = psutil.Process(pid).environ()
            assert environment.get("HEADRACE_HOME") == str(locked.home)
            assert not TOKENS.keys() & environment.keys(), pid
            assert not {*TOKENS.values()} & {*environment.values()}, pid


if __name__ == "__main__":
    # Spark runs this file itself; a rank runs it as a module.
    if "LOCKED_MASTER" in os.environ and "RANK" not in os.environ:
        submit.submitted(Job, drive)
    else:
        job_main(Job, train)
