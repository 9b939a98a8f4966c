"""The receiver of webhooks in its own process, spoken to over HTTP."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.flows import receiver
from headrace.infra.errors import UnansweredError, UsageError
from headrace.infra.net.ports import free_port
from headrace.infra.subprocess_jobs import die_with_parent


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(Address, state folder) of `headrace receive`."""
    home, port = tmp_path_factory.mktemp("receiver"), free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", receiver.TOKEN))}
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.flows.cli", "receive", "--port", str(port)],
        env={**env, "HEADRACE_HOME": str(home)}, preexec_fn=die_with_parent,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.readline()
    while said and "listening on" not in said:
        said = process.stderr.readline()
    assert f"http://127.0.0.1:{port}" in said and "receiver.json" in said
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/none", timeout=5)
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}", home
    process.terminate()
    assert process.wait(30) in (0, 143, -15)
    process.stderr.close()


def ask(
    url: str, body: Any = None, word: str | None = None, basic: bool = False, raw: bytes = b""
) -> tuple[int, str]:
    """(Status, body) of a request."""
    headers = {"content-type": "application/json"}
    if word is not None:
        coded = base64.b64encode(f"any:{word}".encode()).decode()
        headers["authorization"] = f"Basic {coded}" if basic else f"Bearer {word}"
    data = raw or (None if body is None else json.dumps(body).encode())
    try:
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def token_of(home: Path) -> str:
    path = home / "receiver.json"
    assert path.stat().st_mode & 0o077 == 0
    return str(json.loads(path.read_text())["token"])


def test_without_the_token_no_request_is_heard(listening: tuple[str, Path]) -> None:
    url, home = listening
    word = token_of(home)
    for path in ("/alertmanager", "/evidently"):
        for wrong in (None, "", "x", word[:-1], word + "x"):
            status, said = ask(f"{url}{path}", {"alerts": []}, wrong)
            assert status == 401 and word not in said
    assert ask(f"{url}/metrics")[0] == 401
    assert ask(f"{url}/metrics", word="nö")[0] in (400, 401)
    assert not (home / "outbox").exists()


def test_an_alert_of_alertmanager_waits_in_the_outbox(
    listening: tuple[str, Path], tmp_path: Path
) -> None:
    url, home = listening
    word = token_of(home)
    window = tmp_path / "w.jsonl"
    window.write_text('{"text": "x"}\n')
    fired = {"status": "firing", "labels": {"alertname": "drift"}, "annotations": {}}
    body = {"version": "4", "alerts": [fired, {**fired, "status": "resolved"}]}
    for basic in (False, True):
        status, said = ask(f"{url}/alertmanager?window={window}", body, word, basic)
        (alert,) = json.loads(said)["alerts"]
        assert status == 200 and alert["window"] == str(window) and not alert["sent"]
    (kept,) = (home / "outbox").glob("*.json")
    assert json.loads(kept.read_text())["payload"]["window"] == str(window)


def test_what_is_wrong_is_said_and_nothing_is_kept(listening: tuple[str, Path]) -> None:
    url, home = listening
    word, before = token_of(home), sorted((home / "outbox").glob("*"))
    for raw in (b"{", b"[" * 100_000, b"\xff", b"[]", b"null", b"{}"):
        status, said = ask(f"{url}/alertmanager", raw=raw, word=word)
        assert status == 422 and json.loads(said)["error"]["hint"], raw
    status, said = ask(f"{url}/evidently", raw=b" " * (receiver._LONGEST + 1), word=word)
    assert status == 422 and "bytes" in said
    fired = {"status": "firing", "annotations": {"window": "/none"}}
    status, said = ask(f"{url}/alertmanager", {"alerts": [fired]}, word)
    assert status == 422 and "/none" in said
    assert sorted((home / "outbox").glob("*")) == before


def test_prometheus_reads_metrics(listening: tuple[str, Path]) -> None:
    url, home = listening
    status, said = ask(f"{url}/metrics", word=token_of(home))
    assert status == 200 and "headrace_alerts_waiting" in said and "headrace_free_bytes" in said


def test_a_token_may_come_from_the_environment_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = receiver.token()
    assert len(made) > 30 and receiver.token() == made
    monkeypatch.setenv(receiver.TOKEN, "short")
    with pytest.raises(UsageError, match="fewer than 12"):
        receiver.token()
    monkeypatch.setenv(receiver.TOKEN, "long enough to do")
    assert receiver.token() == "long enough to do"
    file = tmp_path / "token"
    monkeypatch.setenv(f"{receiver.TOKEN}_FILE", str(file))
    with pytest.raises(UsageError, match="can't be read"):
        receiver.token()
    file.write_text("another one that is long\n")
    assert receiver.token() == "another one that is long"


def test_a_taken_port_is_named(listening: tuple[str, Path]) -> None:
    from headrace.infra.configuration.settings import Shared

    port = int(listening[0].rsplit(":", 1)[1])
    with pytest.raises(UsageError, match=f"port {port} is taken"):
        receiver.serve(port, Shared())


def test_what_alertmanager_should_send_again_ends_in_5xx(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    from headrace.infra.configuration.settings import Shared

    def away(*_: Any) -> None:
        raise UnansweredError("s3://b/w: no answer", "check the network")

    monkeypatch.setattr(receiver, "receive", away)
    client = TestClient(receiver.application("a long token", Shared()))
    headers = {"authorization": "Bearer a long token"}
    answer = client.post("/alertmanager", json={"alerts": []}, headers=headers)
    assert answer.status_code == 503 and "s3://b/w" in answer.json()["error"]["message"]
