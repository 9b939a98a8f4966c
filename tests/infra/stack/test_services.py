"""What the stack runs."""

from pathlib import Path

import pytest

from headrace.infra.net import credentials
from headrace.infra.stack.pools import Pool, PoolsSettings
from headrace.infra.stack.services import DEFAULT_PORTS, all_services, environment
from headrace.infra.state.state_dir import Home

NAMES = ["prefect", "worker-spark", "worker-training", "mlflow", "spark-master", "spark-worker-1",
         "spark-worker-2", "spark-history"]  # fmt: skip


def test_the_services_of_the_contract_on_loopback(tmp_path: Path) -> None:
    services = all_services(Home(tmp_path), DEFAULT_PORTS, None)
    assert [s.name for s in services if s.address] == NAMES
    assert all("0.0.0.0" not in " ".join(s.argv) for s in services)


def test_beside_the_servers_of_others_only_the_rest_is_started(tmp_path: Path) -> None:
    pools = PoolsSettings(training=Pool(name="gpu", type="kubernetes"))
    theirs = ["prefect", "mlflow"]
    services = all_services(Home(tmp_path), DEFAULT_PORTS, None, pools, theirs)
    assert [s.name for s in services if s.address] == [n for n in NAMES if n not in theirs]
    worker = next(s for s in services if s.name == "worker-training")
    assert worker.argv[-2:] == ["gpu", "kubernetes"] and worker.address == "pool gpu"


def test_services_get_an_allow_list_of_the_environment(tmp_path: Path) -> None:
    shell = {
        "PATH": "/bin", "LC_ALL": "C.UTF-8", "AWS_PROFILE": "corpus", "OMP_NUM_THREADS": "2",
        "GITHUB_TOKEN": "t", "OPENAI_API_KEY": "k", "PREFECT_API_KEY": "theirs", "PGPASSWORD": "p",
        "HEADRACE_PROGRESS_FD": "7", "LD_PRELOAD": "/x.so", "PYTHONPATH": "/tmp", "MINE": "1",
    }  # fmt: skip
    given = {"PREFECT_API_URL": "http://p/api", "PREFECT_API_AUTH_STRING": "u:p"}
    found = environment(Home(tmp_path), "m", given, shell, ["MINE"])
    passed = {k for k in shell if k in found}
    assert passed == {"PATH", "LC_ALL", "AWS_PROFILE", "OMP_NUM_THREADS", "MINE"}
    assert given.items() <= found.items() and found["HEADRACE_HOME"] == str(tmp_path)


def test_services_find_files_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pw").write_text("given-by-the-owner")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    names = [credentials.variable(n) + "_FILE" for n in credentials.NAMES]
    shell = {**dict.fromkeys(names, "pw"), "HEADRACE_AUDIT_KEY_FILE": "keys/audit.key"}
    theirs = {"PREFECT_API_SSL_CERT_FILE": "ca.pem"}
    found = environment(Home(tmp_path / "home"), "m", theirs, shell)
    assert found["HEADRACE_AUDIT_KEY_FILE"] == str(tmp_path / "keys" / "audit.key")
    assert found["PREFECT_API_SSL_CERT_FILE"] == str(tmp_path / "ca.pem")
    monkeypatch.chdir(tmp_path / "elsewhere")  # where services run is not where `up` was called
    assert set(credentials.given(found).values()) == {"given-by-the-owner"}
    assert len(credentials.given(found)) == len(credentials.NAMES)
    assert "HEADRACE_AUDIT_KEY_FILE" not in environment(Home(tmp_path), "m", {}, {})


def test_no_secret_stands_on_a_command_line(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = credentials.make(home)
    words = " ".join(w for s in all_services(home, DEFAULT_PORTS, None) for w in s.argv)
    assert all(getattr(made, name) not in words for name in credentials.NAMES)
