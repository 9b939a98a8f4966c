"""The secret of the stack's cluster; that it keeps strangers out is in tests/e2e/test_locks.py."""

import base64
import hashlib
import hmac
import json
import stat
import time
from pathlib import Path

import pytest

from headrace.infra.net import credentials
from headrace.infra.spark import auth
from headrace.infra.stack import stack
from headrace.infra.state.state_dir import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    auth.write(home, "spark://127.0.0.1:7077", credentials.make(home))
    return home


def test_both_sides_share_a_secret_that_others_cannot_read(home: Home) -> None:
    secret = credentials.make(home).spark_secret
    for folder in (auth.driver_folder(home), auth.daemon_folder(home)):
        assert auth.secret_of(folder) == secret
        file = folder / "spark-defaults.conf"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        said = dict(line.split(" ", 1) for line in file.read_text().splitlines())
        assert said["spark.authenticate"] == said["spark.network.crypto.enabled"] == "true"
    assert said["spark.ui.filters"] == "org.apache.spark.ui.JWSFilter"


def test_a_given_secret_is_in_no_file_once_the_stack_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, home = "given-by-the-owner", Home(tmp_path)
    monkeypatch.setenv("HEADRACE_SPARK_SECRET", secret)
    auth.write(home, "spark://127.0.0.1:7077", credentials.make(home))

    def holding() -> set[str]:
        files = (p for p in tmp_path.rglob("*") if p.is_file())
        return {p.parent.name for p in files if secret.encode() in p.read_bytes()}

    assert holding() == {"spark-conf", "spark-daemons"}
    stack.down(home)
    assert holding() == set()


def test_a_driver_gets_the_secret_of_its_own_master_only(home: Home) -> None:
    known = auth.client_variables(home, "spark://127.0.0.1:7077")
    assert known == {"SPARK_CONF_DIR": str(auth.driver_folder(home))}
    for other in ("spark://127.0.0.1:70", "spark://127.0.0.1:7078", "yarn", "local[2]"):
        assert auth.client_variables(home, other) == {}


def test_a_page_token_is_signed_and_short_lived() -> None:
    scheme, _, token = auth.bearer("secret").partition(" ")
    head, claims, signature = token.split(".")

    def part(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    key = hashlib.sha256(b"pages\0secret").digest()
    assert scheme == "Bearer" and json.loads(part(head)) == {"alg": "HS256"}
    assert part(signature) == hmac.digest(key, f"{head}.{claims}".encode(), "sha256")
    assert 60 < json.loads(part(claims))["exp"] - time.time() < 3600
